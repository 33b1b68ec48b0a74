//! Selectors of labels as text: `a=b,c!=d,e in (x,y),!f,g,h>1`.
//!
//! A lexer and a parser of one token ahead, as upstream's, whose words for what was found and what was expected are
//! kept. `in` and `notin` are names where a name is expected.

use super::{LabelSelector, Operator, Requirement, SelectorError};
use crate::names;
use std::iter::Peekable;

/// More requirements, or values in one, than any client has use for.
const MOST: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    End,
    Name(String),
    /// `,` `(` `)` `!` `=` `==` `!=` `<` `>`, and, where an operator is expected, names that are one.
    Sign(&'static str),
}

struct Parser {
    tokens: Peekable<std::vec::IntoIter<Token>>,
}

impl std::str::FromStr for LabelSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut requirements = Parser { tokens: tokens(text).into_iter().peekable() }.requirements()?;
        requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(LabelSelector { requirements, nothing: false })
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let sign =
            ["==", "!=", "=", "!", "<", ">", "(", ")", ","].into_iter().find(|sign| rest.starts_with(sign));
        let length = match sign {
            Some(sign) => {
                tokens.push(Token::Sign(sign));
                sign.len()
            }
            None => {
                let special = |char: char| is_space(char) || "=!<>(),".contains(char);
                let end = rest.find(special).unwrap_or(rest.len()).max(first.len_utf8());
                tokens.push(Token::Name(rest[..end].to_owned()));
                end
            }
        };
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::End => "",
            Token::Name(name) => name,
            Token::Sign(sign) => sign,
        }
    }
}

impl Parser {
    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    fn peek(&mut self) -> Token {
        self.tokens.peek().cloned().unwrap_or(Token::End)
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut found = Vec::new();
        loop {
            match self.peek() {
                Token::Name(_) | Token::Sign("!") => {
                    let one = self
                        .requirement()
                        .map_err(|text| fail(format!("unable to parse requirement: {text}")))?;
                    found.push(one);
                    if found.len() > MOST {
                        return Err(fail(format!("more than {MOST} requirements")));
                    }
                    match self.next() {
                        Token::End => return Ok(found),
                        Token::Sign(",") => match self.peek() {
                            Token::Name(_) | Token::Sign("!") => {}
                            other => return Err(expected(&other, "identifier after ','")),
                        },
                        other => return Err(expected(&other, "',' or 'end of string'")),
                    }
                }
                Token::End => return Ok(found),
                other => return Err(expected(&other, "!, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.next();
        let negated = token == Token::Sign("!");
        if negated {
            token = self.next();
        }
        let Token::Name(key) = token else { return Err(expected(&token, "identifier")) };
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            return Err(fail(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; "))));
        }
        if negated {
            return new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let token = self.next();
        Ok(match token.text() {
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            _ => return Err(expected(&token, "in, notin, =, ==, !=, gt, lt")),
        })
    }

    /// The value behind a sign: empty at the end and before a comma.
    fn value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Name(value) => Ok(value),
            other => Err(expected(&other, "identifier")),
        }
    }

    /// The values in brackets; nothing between two commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(fail(format!("found '{}' expected: '('", other.text()))),
        }
        let mut values = Vec::new();
        if self.peek() == Token::Sign(")") {
            self.next();
            return Ok(values);
        }
        loop {
            match self.peek() {
                Token::Name(value) => {
                    self.next();
                    values.push(value);
                }
                Token::Sign("," | ")") => values.push(String::new()),
                other => return Err(expected(&other, "',', ')' or identifier")),
            }
            match self.next() {
                Token::Sign(")") => return Ok(values),
                Token::Sign(",") if values.len() < MOST => {}
                other => return Err(expected(&other, "',' or ')'")),
            }
        }
    }
}

/// A requirement, if it makes sense. Source: `labels.NewRequirement`.
pub fn new(key: String, operator: Operator, mut values: Vec<String>) -> Result<Requirement, SelectorError> {
    let wrong = match (operator, values.as_slice()) {
        (Operator::In | Operator::NotIn, []) => {
            Some("for 'in', 'notin' operators, values set can't be empty")
        }
        (Operator::Exists | Operator::DoesNotExist, [_, ..]) => {
            Some("values set must be empty for exists and does not exist")
        }
        (Operator::GreaterThan | Operator::LessThan, [value]) if value.parse::<i64>().is_err() => {
            Some("for 'Gt', 'Lt' operators, the value must be an integer")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(fail(format!("values: Invalid value: {values:?}: {wrong}")));
    }
    for (at, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            return Err(fail(format!("values[{at}][{key}]: Invalid value: {value:?}: {}", wrong.join("; "))));
        }
    }
    values.sort();
    values.dedup();
    Ok(Requirement { key, operator, values })
}

fn expected(found: &Token, what: &str) -> SelectorError {
    fail(format!("found '{}', expected: {what}", found.text()))
}

fn fail(text: String) -> SelectorError {
    SelectorError(text)
}
