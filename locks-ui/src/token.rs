//! What only its reader may know: the token of the link, and the mark of the forms.

use std::fmt;
use subtle::ConstantTimeEq;

/// 256 random bits, in hexadecimal digits. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// A new one; none if the system has no randomness.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// For whoever sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is this one. It takes as long whatever is wrong with it.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_long_secret_and_new_each_time() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(one.reveal().len() == 64 && one.is(one.reveal()));
        assert!(!one.is(other.reveal()) && !one.is("") && !one.is(&one.reveal()[1..]));
        assert!(!format!("{one:?}").contains(one.reveal()));
    }
}
