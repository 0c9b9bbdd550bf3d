//! Who may read the board.
//!
//! One secret or several, from files, by bearer token or basic auth; without any, everybody who can
//! reach the address. Invariant: no secret is ever printed, and how long a comparison takes tells
//! nothing but a secret's length.

use std::fmt;
use std::path::Path;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Accepted credentials; without any, nobody is asked for one.
#[derive(Clone, Default)]
pub struct Access {
    /// Tokens.
    bearer: Vec<String>,
    /// `user:password` in base64.
    basic: Vec<String>,
}

/// Why a file of secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unread(String, std::io::Error),
    /// It has nothing in it.
    #[error("{0} is empty; write one {1} a line")]
    Empty(String, &'static str),
    /// A line without a colon.
    #[error("line {1} of {0} has no colon; write user:password")]
    NoColon(String, usize),
}

impl Access {
    /// Adds the tokens of a file, one a line.
    pub fn with_tokens(mut self, file: &Path) -> Result<Access, AccessError> {
        self.bearer.extend(lines(file, "token")?);
        Ok(self)
    }

    /// Adds the users of a file, one `user:password` a line.
    pub fn with_users(mut self, file: &Path) -> Result<Access, AccessError> {
        for (index, line) in lines(file, "user:password")?.into_iter().enumerate() {
            if !line.contains(':') {
                return Err(AccessError::NoColon(file.display().to_string(), index + 1));
            }
            self.basic.push(STANDARD.encode(line));
        }
        Ok(self)
    }

    /// Whether anybody is asked for anything.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty() && self.basic.is_empty()
    }

    /// Whether a request with these headers may pass.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        if self.is_open() {
            return true;
        }
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, given)) = header.and_then(|header| header.split_once(' ')) else {
            return false;
        };
        let accepted = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => &self.bearer,
            "basic" => &self.basic,
            _ => return false,
        };
        // All of them are compared, whichever fits.
        accepted.iter().fold(false, |fits, secret| fits | same(secret, given.trim()))
    }

    /// What to ask for.
    pub(crate) fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(match self.basic.is_empty() {
            true => "Bearer realm=\"floodgate board\"",
            false => "Basic realm=\"floodgate board\", charset=\"UTF-8\"",
        })
    }
}

fn same(secret: &str, given: &str) -> bool {
    let different = secret.bytes().zip(given.bytes()).fold(0, |bits, (a, b)| bits | (a ^ b));
    secret.len() == given.len() && std::hint::black_box(different) == 0
}

fn lines(file: &Path, what: &'static str) -> Result<Vec<String>, AccessError> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| AccessError::Unread(name(), error))?;
    let lines =
        text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    if lines.is_empty() { Err(AccessError::Empty(name(), what)) } else { Ok(lines) }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Access")
            .field("tokens", &self.bearer.len())
            .field("users", &self.basic.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn only_who_knows_a_secret_passes() {
        let access = Access::default();
        assert!(access.admits(&HeaderMap::new()));
        let access = access.with_tokens(file("first\nhunter2\n").path()).unwrap();
        let access = access.with_users(file("hall:open:sesame\r\n").path()).unwrap();
        let admitted = ["Bearer hunter2", "bearer first", "Basic aGFsbDpvcGVuOnNlc2FtZQ=="];
        assert!(admitted.iter().all(|given| access.admits(&headers(given))));
        let refused =
            ["Bearer hunter", "Bearer hunter22", "Bearer ", "Basic hunter2", "hunter2", "Digest x"];
        assert!(refused.iter().all(|given| !access.admits(&headers(given))));
        assert!(!access.admits(&HeaderMap::new()));
        let printed = format!("{access:?}");
        assert!(!printed.contains("hunter2") && !printed.contains("sesame"), "{printed}");
    }

    #[test]
    fn an_empty_file_does_not_open_the_door() {
        assert!(Access::default().with_tokens(file("\n\n").path()).is_err());
        assert!(Access::default().with_users(file("nobody\n").path()).is_err());
        assert!(Access::default().with_users(Path::new("/nowhere")).is_err());
    }
}
