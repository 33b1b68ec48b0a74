//! The bench as a picture: for each workload and path the ratio to the baseline, with least and greatest.

use super::report::{Figure, Report};
use crate::error::{LabError, Result};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1000, 520);
const COLOURS: [RGBColor; 6] = [
    RGBColor(120, 120, 120),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(214, 118, 20),
    RGBColor(148, 103, 189),
    RGBColor(190, 60, 60),
];

impl Report {
    /// Draws it as SVG.
    pub fn plot(&self, path: &Path) -> Result<()> {
        self.draw(path).map_err(|e| LabError::Plot { path: path.to_owned(), why: e.to_string() })
    }

    fn draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let groups = self.figures.chunks(self.paths.len().max(1)).collect::<Vec<_>>();
        let top = self.figures.iter().map(|f| f.ratio.max).fold(1.0, f64::max) * 1.1;
        let caption = format!("rate relative to host ↔ host, median of {} ({})", self.repeats, self.family);
        let mut chart = ChartBuilder::on(&area)
            .caption(caption, ("sans-serif", 20))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(45)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top)?;
        let title =
            |x: &f64| groups.get(*x as usize).and_then(|g| g.first()).map_or("", |f| f.workload.title());
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(groups.len() * 2 + 1)
            // A label in the middle of each group and nowhere else.
            .x_label_formatter(&|x| {
                if (x.fract() - 0.5).abs() < 0.01 { title(x).to_owned() } else { String::new() }
            })
            .draw()?;
        for (i, path) in self.paths.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let bars = groups.iter().enumerate().filter_map(|(g, group)| Some((g, group.get(i)?)));
            let width = 0.8 / self.paths.len() as f64;
            let left = move |g: usize| g as f64 + 0.1 + i as f64 * width;
            let bar = |(g, f): (usize, &Figure)| {
                Rectangle::new([(left(g), 0.0), (left(g) + width * 0.9, f.ratio.median)], colour.filled())
            };
            chart
                .draw_series(bars.clone().map(bar))?
                .label(path)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
            let whisker = |(g, f): (usize, &Figure)| {
                let x = left(g) + width * 0.45;
                PathElement::new(vec![(x, f.ratio.min), (x, f.ratio.max)], BLACK)
            };
            chart.draw_series(bars.map(whisker))?;
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.9)).border_style(BLACK).draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Spread;
    use super::*;
    use crate::load::Workload;

    #[test]
    fn a_plot_names_workloads_and_paths() {
        let spread = Spread { median: 0.8, min: 0.7, max: 0.9 };
        let figure = |workload: Workload, path: &str| Figure {
            path: path.into(),
            workload,
            unit: workload.unit(),
            rate: spread,
            ratio: spread,
            cpu_us_per_operation: spread,
            operation: workload.operation(),
            p50_us: None,
            p99_us: None,
        };
        let paths = vec!["host".to_owned(), "pod".to_owned()];
        let figures = Workload::ALL.into_iter().flat_map(|w| [figure(w, "host"), figure(w, "pod")]).collect();
        let report = Report { repeats: 5, seconds: 0.5, family: "ipv4", paths, figures, beside: Vec::new() };
        let file = std::env::temp_dir().join(format!("weft-plot-{}.svg", std::process::id()));
        report.plot(&file).unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        for text in ["UDP packets", "TCP, 4 streams", "host", "pod"] {
            assert!(svg.contains(text), "{text} is not in the plot");
        }
    }
}
