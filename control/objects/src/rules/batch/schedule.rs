//! Schedules of cron jobs: five fields, or a word. Source: `github.com/robfig/cron/v3`, its standard parser.

/// A field's bounds and the names that it knows.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// What is wrong with a schedule.
pub fn wrong(schedule: &str) -> Option<String> {
    if schedule.contains("TZ") {
        return Some("cannot use TZ or CRON_TZ in schedule, use timeZone field instead".into());
    }
    if let Some(word) = schedule.strip_prefix('@') {
        let known =
            matches!(word, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly");
        let every = word.strip_prefix("every ").is_some_and(is_duration);
        return (!known && !every).then(|| format!("unrecognized descriptor: @{word}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields
        .iter()
        .zip(FIELDS)
        .find_map(|(text, field)| text.split(',').find_map(|range| range_is_wrong(range, field)))
}

fn range_is_wrong(text: &str, (least, most, names): (u32, u32, &[&str])) -> Option<String> {
    let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
    let number = |part: &str| -> Result<u32, String> {
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(part)) {
            return Ok(at as u32 + least);
        }
        part.parse().map_err(|_| {
            format!("failed to parse int from {part}: strconv.Atoi: parsing {part:?}: invalid syntax")
        })
    };
    let bounds = match range.split_once('-') {
        _ if matches!(range, "*" | "?") => Ok((least, most)),
        Some((start, end)) => number(start).and_then(|start| Ok((start, number(end)?))),
        None => number(range).map(|one| (one, if step.is_some() { most } else { one })),
    };
    let (start, end) = match bounds {
        Ok(bounds) => bounds,
        Err(text) => return Some(text),
    };
    if start < least {
        return Some(format!("beginning of range ({start}) below minimum ({least}): {text}"));
    }
    if end > most {
        return Some(format!("end of range ({end}) above maximum ({most}): {text}"));
    }
    if start > end {
        return Some(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    match step.map(number) {
        Some(Ok(0)) => Some(format!("step of range should be a positive number: {text}")),
        Some(Err(text)) => Some(text),
        _ => None,
    }
}

/// `1h30m`.
fn is_duration(text: &str) -> bool {
    let units = text.split_inclusive(|char: char| char.is_ascii_alphabetic());
    let fits = |part: &str| {
        part.len() > 1 && part.ends_with(['h', 'm', 's']) && part[..part.len() - 1].parse::<u32>().is_ok()
    };
    !text.is_empty() && units.into_iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn schedules() {
        for text in ["* * * * *", "*/5 0 1-15 JAN,feb mon-fri", "@daily", "@every 1h30m", "0 0 ? * 0"] {
            assert_eq!(wrong(text), None, "{text}");
        }
        assert_eq!(wrong("x").as_deref(), Some("expected exactly 5 fields, found 1: [x]"));
        assert_eq!(wrong("60 * * * *").as_deref(), Some("end of range (60) above maximum (59): 60"));
        for text in [
            "",
            "* * * * 8",
            "* * 0 * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "@often",
            "TZ=UTC * * * * *",
            "é * * * *",
            "@every é",
        ] {
            assert!(wrong(text).is_some(), "{text}");
        }
    }
}
