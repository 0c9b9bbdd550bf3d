//! What goes to standard output, and numbers as people read them.

/// Prints a line. A reader that has gone away ends the process quietly, as a pipe does.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Says on standard error why the command failed.
#[allow(clippy::print_stderr, reason = "the last word of a failed command, through here alone")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("floodgate: {error:#}");
}

/// A number with a comma before every third digit.
pub(crate) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Minor units as yuan and fen.
pub(crate) fn money(fen: u128) -> String {
    format!("{}.{:02}", grouped(fen / 100), fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(money(123_456_789), "1,234,567.89");
        assert_eq!(money(5), "0.05");
    }
}
