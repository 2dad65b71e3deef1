//! Settings that no log may show.

use std::fmt;

/// A password or a private key. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Keeps `value` out of logs.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for whoever has to send it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A user with its password.
///
/// `Debug` shows the user only where there is a password: `redis://hunter2@host` is a mistake that people make.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; empty where a server knows a password only.
    pub user: String,
    /// The password; empty if there is none.
    pub password: Secret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret: &dyn fmt::Debug = &self.password;
        let user: &dyn fmt::Debug = if self.password.reveal().is_empty() { secret } else { &self.user };
        f.debug_struct("Credentials").field("user", user).field("password", secret).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_user_alone_may_be_a_password() {
        let shown = |user: &str, password: &str| {
            format!("{:?}", Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
        };
        assert!(!shown("hunter2", "").contains("hunter2"));
        assert!(shown("app", "hunter2").contains("app") && !shown("app", "hunter2").contains("hunter2"));
    }
}
