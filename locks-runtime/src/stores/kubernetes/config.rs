//! Where a Kubernetes store is, checked before anything is sent.

use crate::contract::{Pem, Tls, endpoint_parts, request_timeout};
use crate::values::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Where an API server is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of the API server.
    pub server: String,
    /// The namespace of the Leases.
    pub namespace: String,
    /// TLS; `None` speaks plain text, which only `kubectl proxy` on this machine does.
    pub tls: Option<Tls>,
    /// The file of the authorities that may have signed the server's certificate, read again for each connection; before
    /// [`Tls::ca`], which is as it was.
    pub ca_file: Option<PathBuf>,
    /// The file of the token by which this client identifies itself, read again as long as the client lives; `None` if it has a
    /// certificate, or the proxy identifies itself.
    pub token_file: Option<PathBuf>,
    /// How long the caller is ready to wait for the first connection; each single request gets a third of it, within half a
    /// second and five seconds.
    pub connect_timeout: Duration,
}

/// Where a pod has its own account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Config {
    /// The API server of the pod that this process runs in, by the pod's own account. An empty namespace is the pod's own.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` if this is no pod, or one without an account.
    pub fn in_pod(namespace: &str, connect_timeout: Duration) -> Result<Self, Error> {
        Self::of_account(&PathBuf::from(ACCOUNT), namespace, connect_timeout, |name| std::env::var(name).ok())
    }

    fn of_account(
        account: &std::path::Path,
        namespace: &str,
        connect_timeout: Duration,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let address = variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT"));
        let (host, port) = address.ok_or_else(|| {
            Error::invalid_url(
                "this is no pod: `KUBERNETES_SERVICE_HOST` is not set; from outside of the cluster name the server, as in \
                 `kubernetes://host:6443/namespace?ca=…&token_file=…`, or run `kubectl proxy` and name that: \
                 `kubernetes://127.0.0.1:8001/namespace?tls=off`",
            )
        })?;
        let token_file = account.join("token");
        if !token_file.exists() {
            return Err(Error::invalid_url(format!(
                "this pod has no account: {} is not there; do not set `automountServiceAccountToken: false`",
                token_file.display()
            )));
        }
        let namespace = match namespace {
            "" => own_namespace(&account.join("namespace"))?,
            named => named.to_owned(),
        };
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        Ok(Self {
            server: format!("{host}:{port}"),
            namespace,
            tls: Some(Tls::default()),
            ca_file: Some(account.join("ca.crt")),
            token_file: Some(token_file),
            connect_timeout,
        })
    }

    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        request_timeout(self.connect_timeout, 3)
    }

    /// The authorities as they are in the file now, or were given.
    pub(super) fn ca(&self) -> Result<Option<Pem>, Error> {
        let Some(path) = &self.ca_file else { return Ok(self.tls.as_ref().and_then(|tls| tls.ca.clone())) };
        let read = std::fs::read(path);
        let unreadable = |cause| {
            Error::unavailable(format!("the authorities in {} cannot be read", path.display())).with_source(cause)
        };
        read.map(Some).map_err(unreadable)
    }

    /// Finds what can be found without a server.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some((host, _)) = endpoint_parts(&self.server) else {
            return Err(Error::invalid_url(format!(
                "{:?} is not a host with a port; write `kubernetes://host:6443/namespace`",
                self.server
            )));
        };
        if !is_namespace(&self.namespace) {
            return Err(Error::invalid_url(format!(
                "{:?} is not the name of a namespace, which is of 1 to 63 lower-case letters, digits and `-`; write \
                 `kubernetes://host:6443/namespace`",
                self.namespace
            )));
        }
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid_url("`connect_timeout` is zero"));
        }
        let Some(tls) = &self.tls else { return self.check_plain(host) };
        tls.check()?;
        if self.token_file.is_none() && tls.identity.is_none() {
            return Err(Error::invalid_url(
                "nothing says who this is; name a file with a token by `token_file=`, or a certificate by `cert=` and `key=`",
            ));
        }
        Ok(())
    }

    fn check_plain(&self, host: &str) -> Result<(), Error> {
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if !is_here {
            return Err(Error::invalid_url(format!(
                "`tls=off` is for `kubectl proxy` on this machine, and `{host}` is another one: whoever is between could take its \
                 locks"
            )));
        }
        if self.token_file.is_some() {
            return Err(Error::invalid_url(
                "`token_file` is not sent without TLS; leave it out: `kubectl proxy` has an own one",
            ));
        }
        Ok(())
    }
}

fn own_namespace(path: &std::path::Path) -> Result<String, Error> {
    let read = std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    read.map_err(|cause| {
        let what = "the URL names no namespace, and this pod's own cannot be read; write `kubernetes:///namespace`";
        Error::invalid_url(what).with_source(cause)
    })
}

fn is_namespace(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(is_fine) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Identity;
    use crate::values::secret::Secret;

    fn config() -> Config {
        Config {
            server: "10.0.0.1:6443".to_owned(),
            namespace: "app".to_owned(),
            tls: Some(Tls::default()),
            ca_file: None,
            token_file: Some("token".into()),
            connect_timeout: Duration::from_secs(5),
        }
    }

    fn refused(config: &Config) -> String {
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_whatever_the_server_is_says_what_to_write() {
        config().check().unwrap();
        for namespace in ["", "App", "a.b", "a/b", "-a", &"a".repeat(64)] {
            assert!(
                refused(&Config { namespace: namespace.to_owned(), ..config() })
                    .contains("is not the name of a namespace")
            );
        }
        for server in ["", "a", "a:0", "https://a:1"] {
            assert!(
                refused(&Config { server: server.to_owned(), ..config() }).contains("kubernetes://host:6443/namespace")
            );
        }
        assert!(refused(&Config { token_file: None, ..config() }).contains("`token_file=`"));
        let identity = Identity { certificate: b"x".to_vec(), key: Secret::new(b"x".to_vec()) };
        let tls = Tls { identity: Some(identity), ..Tls::default() };
        assert!(refused(&Config { tls: Some(tls), ..config() }).contains("holds no PEM"));
    }

    #[test]
    fn plain_text_is_for_this_machine_alone() {
        let plain = |server: &str| Config { server: server.to_owned(), tls: None, token_file: None, ..config() };
        for here in ["127.0.0.1:8001", "[::1]:8001", "localhost:8001"] {
            plain(here).check().unwrap();
        }
        assert!(refused(&plain("10.0.0.1:8001")).contains("another one"));
        assert!(refused(&Config { token_file: Some("t".into()), ..plain("[::1]:1") }).contains("leave it out"));
    }

    #[test]
    fn a_pod_has_its_account_and_what_is_none_is_told_so() {
        let account = tempfile::tempdir().unwrap();
        let variables = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        };
        let read = |namespace: &str| Config::of_account(account.path(), namespace, Duration::from_secs(5), variables);
        let outside = Config::of_account(account.path(), "app", Duration::from_secs(5), |_| None);
        assert!(outside.unwrap_err().to_string().contains("this is no pod"));
        assert!(read("app").unwrap_err().to_string().contains("automountServiceAccountToken"));
        std::fs::write(account.path().join("token"), "t").unwrap();
        assert!(read("").unwrap_err().to_string().contains("kubernetes:///namespace"));
        assert_eq!(read("app").unwrap().namespace, "app");
        std::fs::write(account.path().join("namespace"), "own\n").unwrap();
        let own = read("").unwrap();
        own.check().unwrap();
        assert_eq!((own.namespace.as_str(), own.server.as_str()), ("own", "[fd00::1]:443"));
    }
}
