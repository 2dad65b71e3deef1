//! The token by which we identify ourselves. The kubelet puts another one into its file before it ends, so it is read again: after a
//! minute, and when the server does not accept it any more.

use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::values::secret::Secret;
use crate::world::World;
use crate::world::clock::Moment;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How old a token may be before the file is read again.
const FRESH: Duration = Duration::from_secs(60);

/// A file with a token.
#[derive(Debug)]
pub(super) struct Token {
    world: World,
    path: PathBuf,
    last: Mutex<Option<(Moment, Arc<Secret>)>>,
}

impl Token {
    pub(super) fn new(world: &World, path: PathBuf) -> Self {
        Self { world: world.clone(), path, last: Mutex::default() }
    }

    /// The token, as old as it may be. A file that cannot be read now does not end one that the server may still accept.
    ///
    /// # Errors
    ///
    /// `Unauthorized` if there never was one.
    pub(super) async fn current(&self) -> Result<Arc<Secret>, Error> {
        let last = self.last.lock().clone();
        match last {
            Some((read, token)) if self.world.now().since(read) < FRESH => Ok(token),
            Some((_, token)) => Ok(self.read().await.unwrap_or(token)),
            None => self.read().await,
        }
    }

    /// The token as it is in the file now. `Unauthorized` if there is none.
    pub(super) async fn read(&self) -> Result<Arc<Secret>, Error> {
        let (path, begun) = (self.path.clone(), self.world.now());
        let read = self.world.block(move || std::fs::read_to_string(path)).await;
        let read = read.unwrap_or_else(|| Err(std::io::ErrorKind::Interrupted.into()));
        let token = read.map_err(|cause| self.refused("cannot be read").with_source(cause))?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.refused("holds no token, which is one word"));
        }
        let token = Arc::new(Secret::new(token.to_owned()));
        *self.last.lock() = Some((begun, Arc::clone(&token)));
        Ok(token)
    }

    fn refused(&self, why: &str) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::Unauthorized,
            format!(
                "`token_file={path}` {why}; `kubectl create token ACCOUNT` makes one, and in a pod the kubelet does"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_read_again_and_outlives_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::new(&World::here(), file.path().to_owned());
        let current = async || token.current().await.map(|token| token.reveal().clone());
        for odd in ["", " \n", "two words"] {
            std::fs::write(file.path(), odd).unwrap();
            let error = current().await.unwrap_err();
            assert!(error.kind() == ErrorKind::Unauthorized && error.to_string().contains("holds no token"), "{error}");
        }
        std::fs::write(file.path(), "first\n").unwrap();
        assert_eq!(current().await.unwrap(), "first");
        std::fs::write(file.path(), "second").unwrap();
        assert_eq!(current().await.unwrap(), "first");
        tokio::time::advance(FRESH).await;
        assert_eq!(current().await.unwrap(), "second");
        std::fs::remove_file(file.path()).unwrap();
        tokio::time::advance(FRESH).await;
        assert_eq!(current().await.unwrap(), "second");
        assert!(token.read().await.unwrap_err().to_string().contains("cannot be read"));
    }
}
