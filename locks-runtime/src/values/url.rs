//! The URL of a store, taken apart.

use crate::values::error::Error;
use crate::values::secret::{Credentials, Secret};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;

/// `scheme://user:password@host,host/path?name=value`, decoded. A general URL type has one host; a cluster has several.
///
/// A store takes out the parameters that it knows, and refuses the rest by [`nothing_left`](StoreUrl::nothing_left).
/// `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUrl {
    /// In lower case.
    pub scheme: String,
    /// What is before the `@`, if there is one.
    pub credentials: Option<Credentials>,
    /// Each `host:port`, or `host`.
    pub hosts: Vec<String>,
    /// With its leading slash, if there is one.
    pub path: String,
    parameters: BTreeMap<String, String>,
}

impl StoreUrl {
    /// Takes the text of a URL apart.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`; the text never has the password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(Error::invalid_url(format!(
                "{} is not a URL of a lock store; write for instance `etcd://host:2379` or `file:///var/lock/app`",
                if text.is_empty() { "an empty text" } else { "what was given" }
            )));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self {
            scheme: scheme.to_ascii_lowercase(),
            credentials: None,
            hosts: Vec::new(),
            path: decode(rest, "the path")?,
            parameters: parameters(query)?,
        };
        if let Some(rest) = rest.strip_prefix("//") {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let (user, hosts) = match authority.rsplit_once('@') {
                Some((user, hosts)) => (Some(user), hosts),
                // Most likely a password with a `/` or `?` in it, which would be taken for a host and shown.
                None if path.contains('@') || query.contains('@') => {
                    return Err(Error::invalid_url(
                        "there is an `@` after the host; encode `/` as `%2F`, `?` as `%3F` and `@` as `%40` in a password",
                    ));
                }
                None => (None, authority),
            };
            url.credentials = user.map(credentials).transpose()?;
            url.path = decode(path, "the path")?;
            url.hosts = hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
        }
        Ok(url)
    }

    /// Takes the parameter `name` out, decoded.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// Takes all parameters out whose names start with `prefix`, which is cut off.
    pub fn take_all(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let names: Vec<_> = self.parameters.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let taken = names.into_iter().filter_map(|name| {
            let value = self.parameters.remove(&name)?;
            Some((name[prefix.len()..].to_owned(), value))
        });
        taken.collect()
    }

    /// Refuses what no store asked for: a misspelt parameter would be a setting that silently does nothing.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` naming the parameter, and `known`: those that could be meant.
    pub fn nothing_left(&self, known: &str) -> Result<(), Error> {
        match self.parameters.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::invalid_url(format!(
                "`{}:` URLs have no parameter `{name}`; expected one of {known}",
                self.scheme
            ))),
        }
    }
}

fn parameters(query: &str) -> Result<BTreeMap<String, String>, Error> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut parameters = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, "a parameter's name")?;
        let value = decode(value, "a parameter's value")?;
        if parameters.insert(name.clone(), value).is_some() {
            return Err(Error::invalid_url(format!("the parameter `{name}` is given twice")));
        }
    }
    Ok(parameters)
}

fn credentials(text: &str) -> Result<Credentials, Error> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(Credentials { user: decode(user, "the user")?, password: Secret::new(decode(password, "the password")?) })
}

fn decode(text: &str, what: &str) -> Result<String, Error> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::invalid_url(format!("{what} in the URL is not valid UTF-8 when decoded")))
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUrl")
            .field("scheme", &self.scheme)
            .field("credentials", &self.credentials)
            .field("hosts", &self.hosts)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cluster_with_everything() {
        let mut url = StoreUrl::parse("etcd://me:p%40ss:w@a:2379,b:2379/my/space?ttl=9s&label.team=b%26c").unwrap();
        assert_eq!(url.scheme, "etcd");
        let credentials = url.credentials.clone().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.reveal().as_str()), ("me", "p@ss:w"));
        assert_eq!(url.hosts, ["a:2379", "b:2379"]);
        assert_eq!(url.path, "/my/space");
        assert_eq!(url.take("ttl").as_deref(), Some("9s"));
        assert_eq!(url.take_all("label."), [("team".to_owned(), "b&c".to_owned())].into());
        assert!(url.nothing_left("none").is_ok());
    }

    #[test]
    fn paths_with_and_without_an_authority() {
        assert_eq!(StoreUrl::parse("file:///var/lock").unwrap().path, "/var/lock");
        assert_eq!(StoreUrl::parse("file:/var/lock").unwrap().path, "/var/lock");
        assert_eq!(StoreUrl::parse("etcd://a").unwrap().path, "");
        assert_eq!(StoreUrl::parse("memory:a").unwrap().path, "a");
        assert_eq!(StoreUrl::parse("memory:").unwrap().path, "");
    }

    #[test]
    fn a_parameter_nobody_knows_or_twice_is_refused() {
        let error = StoreUrl::parse("etcd://a?tll=9s").unwrap().nothing_left("`ttl`").unwrap_err().to_string();
        assert!(error.contains("no parameter `tll`"), "{error}");
        assert!(StoreUrl::parse("etcd://a?ttl=1&ttl=2").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused_and_a_password_is_never_shown(text: String, password in "[a-z]{9,12}") {
            let _ = format!("{:?}", StoreUrl::parse(&text));
            for cut in ["", "/", "?", ","] {
                let shown = format!("{:?}", StoreUrl::parse(&format!("etcd://user:{cut}{password}@host/{text}")));
                prop_assert!(text.contains(&password) || !shown.contains(&password), "{}", shown);
            }
        }
    }
}
