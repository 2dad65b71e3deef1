//! The URL of a store, taken apart.

use crate::values::error::Error;
use crate::values::secret::{Credentials, Secret};
use crate::values::shown::{LONGEST_TEXT, Shown};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt;

/// `scheme://user:password@host,host/path?name=value`, decoded. A general URL type has one host; a cluster has several.
///
/// A store takes out the parameters that it knows, and refuses the rest by [`nothing_left`](StoreUrl::nothing_left).
/// `Display` is scheme, hosts and path, for people: without user, password and parameters. `Debug` shows no password.
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
    /// `InvalidUrl`. The text shows nothing that could be a password, or a part of one, in the wrong place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(Error::invalid_url(format!(
                "{} is not a URL of a lock store; write for instance `etcd://host:2379` or `file:///var/lock/app`",
                if text.is_empty() { "an empty text" } else { "what was given" }
            )));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_prefix("//").map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
        let (authority, path) = authority.unwrap_or(("", rest));
        // Most likely a password with a `/` or `?` in it, which would be taken for a host, a path or a parameter, and shown.
        if query.contains('@') || (rest.starts_with("//") && path.contains('@')) {
            return Err(Error::invalid_url(
                "there is an `@` after the host; encode `/` as `%2F`, `?` as `%3F` and `@` as `%40` in a user, a password, a \
                 path or a parameter",
            ));
        }
        let path = decode(path, "the path")?;
        // Which a store that takes any name, or any path, would show as that.
        if authority.is_empty() && path.split_once("://").is_some_and(|(_, inner)| inner.contains('@')) {
            return Err(Error::invalid_url(
                "there is another URL within it, with a user: leave out what stands before that",
            ));
        }
        let (user, hosts) = authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        let hosts: Vec<String> = hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
        hosts.iter().try_for_each(|host| check_port(host))?;
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            credentials: user.map(credentials).transpose()?,
            hosts,
            path,
            parameters: parameters(query)?,
        })
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
                "`{}:` URLs have no parameter {}; expected one of {known}",
                self.scheme,
                named(name)
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
            return Err(Error::invalid_url(format!("the parameter {} is given twice", named(&name))));
        }
    }
    Ok(parameters)
}

/// A parameter for a message: only what looks like a name, for the rest of a password looks like one seldom.
fn named(name: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=40).contains(&name.len()) && name.bytes().all(is_name) {
        return format!("`{name}`");
    }
    "whose name is of other characters than letters, digits, `_`, `.` and `-`".to_owned()
}

fn is_scheme(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (1..=40).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(is_fine)
}

/// Refuses a host with something after its `:` that is no port: that may be a password, if the URL names no host.
fn check_port(host: &str) -> Result<(), Error> {
    let after = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(_, after)| after),
        // An IPv6 address without brackets is refused by its store.
        None if host.parse::<std::net::Ipv6Addr>().is_ok() => "",
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok(()),
        Some(port) if port.is_empty() || port.parse::<u16>().is_ok() => Ok(()),
        _ => Err(Error::invalid_url(
            "what comes after the host's `:` is not a number below 65536, the port; user and password come before an `@`: \
             `scheme://user:password@host:port`",
        )),
    }
}

fn credentials(text: &str) -> Result<Credentials, Error> {
    if text.split_once('@').is_some_and(|(_, rest)| rest.contains(',')) {
        return Err(Error::invalid_url(
            "user and password come once, before the first host; encode `@` as `%40` and `,` as `%2C` in them",
        ));
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(Credentials { user: decode(user, "the user")?, password: Secret::new(decode(password, "the password")?) })
}

fn decode(text: &str, what: &str) -> Result<String, Error> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::invalid_url(format!("{what} in the URL is not valid UTF-8 when decoded")))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if self.hosts.is_empty() && !self.path.starts_with('/') { "" } else { "//" };
        let text = format!("{}:{slashes}{}{}", self.scheme, self.hosts.join(","), self.path);
        write!(f, "{}", Shown::new(text, LONGEST_TEXT))
    }
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

    #[test]
    fn what_is_shown_has_no_user_password_or_parameter() {
        for (text, shown) in [
            ("etcd://me:p%40ss@a:2379,b/my/space?ttl=9s&key=x", "etcd://a:2379,b/my/space"),
            ("redis://:secret@[::1]:6379//app", "redis://[::1]:6379//app"),
            ("file:///var/lock", "file:///var/lock"),
            ("memory:a", "memory:a"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(StoreUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    /// Each with the password `hunter2x` in a place where it was meant as one, or as a part of one.
    #[test]
    fn a_url_that_is_wrong_around_its_password_is_refused_without_it() {
        for text in [
            "redis://me@corp:hunter2x/y@host",
            "redis://me@corp:hunter2x?y@host",
            "redis://me@corp:y/hunter2x@host:6379/app",
            "redis://me@corp:y?hunter2x@host:6379/app",
            "redis://me:y?hunter2x=z@host",
            "redis://me/us:hunter2x@host",
            "redis://me:hunter2x",
            "redis://:hunter2x/db",
            "redis://:hunter2x?db=1",
            "etcd://a,me:hunter2x",
            "etcd://[:hunter2x",
            "etcd://[::1]hunter2x",
            "etcd://me:hunter2x@a,you:hunter2x@b",
            "redis:me:hunter2x?y@host",
            "hunter2x@host:6379",
            ":hunter2x@host",
            "//me:hunter2x@host",
            "redis//me:hunter2x@host",
            "redis://me:hunter2x%ff@host",
            "redis://[me:hunter2x@host/x@y",
            "memory:postgres://me:hunter2x@host",
            "file:redis://me:hunter2x@host/1",
            "memory:redis:%2F%2Fme:hunter2x%40host",
            "",
        ] {
            let said = format!("{:?}", StoreUrl::parse(text).unwrap_err());
            assert!(!said.contains("hunter2x"), "{text}: {said}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_read_where_it_can_only_be_one() {
        for (password, read) in
            [("a#b", "a#b"), ("a b", "a b"), ("a%zz", "a%zz"), ("a@b", "a@b"), ("ü:[", "ü:["), ("a%2Fb", "a/b")]
        {
            let url = StoreUrl::parse(&format!("redis://me@corp:{password}@host:1/x")).unwrap();
            let own = url.credentials.unwrap();
            assert_eq!((own.user.as_str(), url.hosts[0].as_str()), ("me@corp", "host:1"), "{password}");
            assert_eq!(own.password.reveal(), read);
        }
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
