//! One candidate's way through its terms: elected, stopped by a loss, and elected again.

use super::leadership::Leadership;
use super::run::{Held, Run};
use crate::contract::Backoff;
use crate::engine::acquire::{Joins, acquire};
use crate::engine::core::Engine;
use crate::engine::life::Phase;
use crate::engine::observe::{self, Labels};
use crate::engine::request::Caller;
use crate::values::duration;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::host;
use crate::values::keys::Keys;
use crate::values::options::Options;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Who wants to lead.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    engine: Arc<Engine>,
    keys: Keys,
    options: Options,
    caller: Caller,
    /// Named in errors.
    function: Option<&'static str>,
}

/// A candidate's terms, one after the other. Dropping it leaves nothing in the store.
pub struct Campaign {
    candidate: Result<Candidate, Option<Error>>,
    /// Between a loss and the next attempt: not at once again and again.
    backoff: Option<Backoff>,
}

/// A term that has begun, before its body has. Dropping it releases the leadership.
#[derive(Debug)]
#[must_use = "the body leads when this is given to `run`"]
pub struct Term {
    held: Held,
    leadership: Leadership,
}

type Electing = Pin<Box<dyn Future<Output = Result<Term, Error>> + Send>>;

impl Candidate {
    /// A candidate whose caller has a value, or gets one that names this process.
    pub(super) fn new(
        engine: Arc<Engine>,
        keys: Keys,
        options: Options,
        caller: Caller,
        function: Option<&'static str>,
    ) -> Self {
        let value = caller.value.unwrap_or_else(|| format!("{}@{}", std::process::id(), host()));
        let caller = Caller { value: Some(value), ..caller };
        // The store may be away for any time: one request goes on meanwhile, with one warning.
        let options = Options { wait: Some(duration::LONGEST), ..options };
        Self { engine, keys, options, caller, function }
    }

    async fn elected(self, pause: Duration) -> Result<Term, Error> {
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = self.engine.life.reached(Phase::Draining) => return Err(self.engine.life.error()),
                () = self.engine.world.runtime().sleep(pause) => {}
            }
        }
        loop {
            let acquiring =
                acquire(&self.engine, self.keys.clone(), self.options, self.caller.clone(), Joins::Body).await;
            match acquiring {
                Ok(acquired) => {
                    let held = Held::new(acquired.into(), &self.options, self.function);
                    held.hold().begin_term();
                    let leadership = Leadership::of(held.guard());
                    return Ok(Term { held, leadership });
                }
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Campaign {
    /// The campaign of a candidate, or one that ends at once with an error.
    pub(super) fn new(candidate: Result<Candidate, Error>) -> Self {
        if let Ok(Candidate { caller, .. }) = &candidate {
            // A process that never leads shows that it does not.
            observe::leads(Labels { name: &caller.name, template: caller.template }, 0.0);
        }
        Self { candidate: candidate.map_err(Some), backoff: None }
    }

    /// Campaigns until this process leads.
    ///
    /// # Errors
    ///
    /// What trying again does not help against: `InvalidKey`, `InvalidOption`, `Unauthorized`, `Unsupported`, `Deadlock`, `Closed`,
    /// `NotConfigured`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it withdraws the candidate, in the background.
    pub fn elected(&mut self) -> Electing {
        let candidate = match &mut self.candidate {
            Ok(candidate) => candidate.clone(),
            Err(error) => {
                let error = error.take().unwrap_or_else(|| Error::new(ErrorKind::Closed, "the campaign is over"));
                return Box::pin(std::future::ready(Err(error)));
            }
        };
        let pause = match &mut self.backoff {
            Some(backoff) => backoff.pause(),
            None => {
                self.backoff = Some(Backoff::of_stream(&candidate.engine.world));
                Duration::ZERO
            }
        };
        Box::pin(async move {
            let function = candidate.function;
            candidate.elected(pause).await.map_err(|error| match function {
                Some(function) => error.with_function(function),
                None => error,
            })
        })
    }

    /// How the campaign ended, if it did with this term: not if the term was lost.
    pub fn over<T>(ended: Result<T, Error>) -> Option<Result<T, Error>> {
        match ended {
            Err(error) if error.kind() == ErrorKind::Lost => None,
            ended => Some(ended),
        }
    }
}

impl Term {
    /// What the body sees of it.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Runs `body` while this process leads, and releases the leadership.
    pub fn run<Fut: Future>(self, body: Fut) -> Run<Fut> {
        self.held.run(body)
    }
}

impl fmt::Debug for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Campaign").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}
