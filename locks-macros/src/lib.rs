//! The attributes `#[distributed_lock]` and `#[leader]`.

mod args;
mod async_trait;
mod check;
mod code;
mod count;
mod duration;
mod errors;
mod expand;
mod facade;
mod function;
mod future;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod kept;
mod key;
mod lead;
mod mode;
mod names;
mod scan;
mod scope;
mod similar;
mod syntax;
mod tail;
mod template;
#[cfg(test)]
mod tests;

use errors::Errors;
use names::Attribute;
use proc_macro2::TokenStream;
use quote::quote;

/// Runs a function only while it holds a lock, across every process that shares a store.
///
/// ```
/// use distributed_locks::{Error, distributed_lock};
///
/// #[distributed_lock(key = "/cron/lock/{job}", ttl = 10)]
/// async fn run_job(job: &str) -> Result<(), Error> {
///     println!("nobody else runs {job} now");
///     Ok(())
/// }
/// ```
///
/// With `wait = 0, hold_at_least = "30s"` that is a job which several machines have in their schedule, and which runs on
/// one of them at each tick: see [below](#a-job-of-a-schedule).
///
/// A call waits for the lock that its key names, runs the body, and releases the lock: on return, on panic, and when the
/// future is dropped. If the process dies, the lock expires in the store. If the lock can no longer be proved held, the
/// body is stopped at its next await, before the store may grant the lock to another process.
///
/// # Arguments
///
/// | argument | value | meaning | default |
/// |---|---|---|---|
/// | `key` | template, or an expression that is `Display` | names the lock | required, or `keys` |
/// | `ttl` | duration | how long the lock outlives a dead process; renewed while the body runs | the client's (10 s) |
/// | `wait` | duration; `0` tries once | how long to wait for the lock | no limit |
/// | `or` | expression; `error` is in scope | what to return if the body did not run or was stopped | from the return type |
/// | `on_lost` | `cancel` or `continue` | what happens to the body when the lock is lost | `cancel`; in a plain `fn`, `continue` |
/// | `hold_at_least` | duration | the lock is held at least this long, even if the body or the process ends sooner | none |
/// | `hold_at_most` | duration | the body is stopped and the lock released after this long; not in a plain `fn` | none |
/// | `mode` | `exclusive` or `shared` | a writer, or a reader beside other readers | `exclusive` |
/// | `permits` | integer | at most so many hold the lock at once | one |
/// | `max_waiting` | integer | more waiters than this in the process are refused at once (`Busy`) | no limit |
/// | `keys` | array, each as `key` | several locks, all acquired at one moment, instead of `key` | – |
/// | `guard` | identifier | the name of the `&Guard` in the body: fence, check, loss | none |
/// | `client` | expression of type `&Locks` | the client to use | the global one |
/// | `name` | string literal | the name in spans, metrics and the holder record | `module::function` |
/// | `crate` | path | where another crate re-exports `distributed_locks` | the dependency in `Cargo.toml` |
///
/// A *duration* is a whole number of seconds (`10`), a string (`"1m30s"`, `"250ms"`), or an expression of type
/// [`Duration`](std::time::Duration), of any integer type (seconds), or an `Option` of these, whose `None` is the default. It
/// is at most a year and, except for `wait`, more than 0: a literal is checked by the compiler, an expression in each call
/// (`InvalidOption`). Two literals are refused because they rarely mean what they say: a number that looks like
/// milliseconds (`30000`), and the unit `M`, which is a month.
///
/// Expressions can use the arguments of the function, `self` included. All except `or` are evaluated once in each call,
/// before the lock is requested. `or` is evaluated after the body: it cannot use an argument that the body takes by value,
/// unless that is `Copy`, nor one that is a `&mut`.
///
/// # Keys
///
/// In a key literal, `{expression}` is a value: an argument, or any expression over arguments and constants, with an
/// optional format as in [`format!`]. `<argument>` is the same as `{argument}`. `{{` and `}}` are literal braces.
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// # struct Order { id: u64 }
/// # const REGION: &str = "eu";
/// #[distributed_lock(key = "/orders/{REGION}/{order.id:08}/<step>")]
/// async fn ship(order: &Order, step: &str) -> Result<(), Error> {
///     Ok(())
/// }
/// ```
///
/// Values are percent-encoded (`/`, `%` and control characters), so two different lists of arguments never make the same
/// key. An empty value is an error (`InvalidKey`). A lower-case name in braces, and any name in angle brackets, must be an
/// argument or be bound by an argument's pattern. Other angle brackets are text; `{'<'}name>` is the text `<name>`. If a
/// function returns an `async` block without `move`, its key can use only the arguments that the block uses.
///
/// With `key = expression`, the text of the expression is the key, without encoding. It is no template: `{argument}` in it
/// is an error, at compile time where it is a literal there, else in the call (`InvalidKey`).
///
/// # A job of a schedule
///
/// `wait = 0` skips the call where another machine has the lock, with an error of kind `Busy` that names the holder.
/// `hold_at_least` keeps the lock taken though the job ends sooner: longer than the machines' clocks differ, or one that
/// is late would find it free and run the job again; shorter than the period, or the next tick is skipped, too.
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// #[distributed_lock(key = "/cron/lock/{job}", wait = 0, hold_at_least = "30s")]
/// async fn every_hour(job: &str) -> Result<(), Error> {
///     Ok(())
/// }
/// ```
///
/// # What it applies to
///
/// `async fn`, and functions that end with an `async` block, alone or in `Box::pin`; statements before the block run
/// without the lock. The block may stand in each arm of an `if` or `match`, or in a variable that is returned in the end.
/// Methods with any receiver, associated functions, trait methods with a body, and trait
/// implementations; generics, patterns and `impl Trait`. In a plain `fn`, the thread blocks until the lock is acquired,
/// also inside a runtime, and nothing can stop the body.
///
/// All arguments live as long as the body, and are dropped before the lock is released, also those that the body does not
/// mention. (Not so an argument that only `or` uses, nor the rest of a pattern such as `Order { id, .. }` whose names the
/// attribute uses.)
///
/// What is returned lazily runs *without* the lock: a stream or an iterator, a future inside of a `Result`, the handle of a
/// task that was spawned. A plain `fn` that returns a future which is not one of the blocks above is refused.
///
/// It can be combined with `#[async_trait]`, `#[tracing::instrument]`, `#[tokio::test]`, `#[tokio::main]`, `#[must_use]`,
/// `#[cfg]` and lint attributes, in any order. The future is `Send` if the body is. A recursive function needs `Box::pin`,
/// as always; under the same key, the inner call joins the outer hold.
///
/// # Return types
///
/// The body may not run, so the return type must be able to express that: `Result<_, E>` where `E: From<Error>`,
/// `Option<_>` (`None`), `()` (skipped, with an event), or your own type that implements `FromLockError`. Any other type
/// needs `or`:
///
/// ```
/// # use distributed_locks::distributed_lock;
/// #[distributed_lock(key = "/report", wait = 0, or = format!("no report: {error}"))]
/// async fn report() -> String {
///     "all is well".to_owned()
/// }
/// ```
///
/// A test that returns nothing would pass without running. So `#[test]`, `#[tokio::test]` and the like need a `Result` or
/// `or`; where such an attribute stands above this one and cannot be seen, the test fails if it did not run.
///
/// # Loss, panic and drop
///
/// When the lock is lost, the body is dropped at its next await and the call returns a `Lost` error. With
/// `on_lost = continue` the body continues, and its guard reports the loss. A panic is propagated after the lock is
/// released. If the future is dropped, the lock is released, or the request withdrawn, in the background. A failed release
/// does not change the returned value: it is retried and logged.
///
/// The `guard` shows a body its own hold, for what must not be done twice:
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// #[distributed_lock(key = "/export", guard = held)]
/// async fn export() -> Result<(), Error> {
///     // … an hour of work …
///     held.check()?; // `Lost` if another process may have it by now
///     Ok(())
/// }
/// ```
///
/// No attribute can stop code that does not await, a spawned task, or a paused process. Where these could do harm, let the
/// resource reject stale fences:
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// # struct Table;
/// # impl Table { async fn write(&self, _fence: u64, _row: &str) -> Result<(), Error> { Ok(()) } }
/// #[distributed_lock(key = "/tables/{name}", guard = held)]
/// async fn append(table: &Table, name: &str, row: &str) -> Result<(), Error> {
///     table.write(held.fence().to_u64(), row).await
/// }
/// ```
///
/// # Another path to the crate
///
/// A renamed dependency (`locks = { package = "distributed-locks" }`) is found by its name in `Cargo.toml`. Where the
/// crate comes from a re-export, write its path, for instance `crate = company::distributed_locks`. In a `macro_rules` for
/// other crates, that is `crate = $crate::distributed_locks`.
///
/// # Cancel safety
///
/// Dropping the future drops the body where it is, and releases the lock or withdraws from the queue in the background.
#[cfg(not(fuzzing))]
#[proc_macro_attribute]
pub fn distributed_lock(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_or_report(Attribute::DistributedLock, attribute.into(), &item.into()).into()
}

/// Runs a function while this process leads: of all that share a store and campaign under its key, one at a time.
///
/// ```
/// use distributed_locks::{Error, leader};
///
/// #[leader(key = "/leader/indexer", value = address, leadership = term)]
/// async fn index(address: &str) -> Result<(), Error> {
///     println!("{address} leads, in term {}", term.fence());
///     Ok(()) // releases the leadership; a service goes on for ever here
/// }
/// ```
///
/// A call campaigns until this process leads, and then runs the body, from the first moment of that to the last and never
/// beyond. When the leadership is lost, because the store could not be reached for instance, the body is stopped at its next
/// await, and the call campaigns again: the body is called once for each term. The call ends when the body returns, or when
/// the leader resigns. `Locks::leader` is the same by hand, and shows others who leads.
///
/// # Arguments
///
/// | argument | value | meaning | default |
/// |---|---|---|---|
/// | `key` | template, or an expression that is `Display` | names the election, as [`distributed_lock`] names a lock | required |
/// | `value` | expression that is `Display` | what others see of this candidate when it leads, such as its address | `pid@host` |
/// | `ttl` | duration | how long the leadership outlives a dead process | the client's (10 s) |
/// | `or` | expression; `error` is in scope | what to return if the leader resigned, or campaigning is useless | from the return type |
/// | `leadership` | identifier | the name of the `&Leadership` in the body: fence, `is_leader`, `resign` | none |
/// | `client` | expression of type `&Locks` | the client to use | the global one |
/// | `name` | string literal | the name in spans, metrics and the holder record | `module::function` |
/// | `crate` | path | where another crate re-exports `distributed_locks` | the dependency in `Cargo.toml` |
///
/// Durations, keys, return types and `or` are those of [`distributed_lock`]. The expressions are evaluated once in each call.
///
/// # What it applies to
///
/// `async fn`. Because the body may be called again, it borrows the arguments: one that it uses up, it has to clone. They are
/// dropped after the leadership was released.
///
/// # Cancel safety
///
/// Dropping the future drops the body where it is, and releases the leadership or withdraws the candidate in the background.
#[cfg(not(fuzzing))]
#[proc_macro_attribute]
pub fn leader(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_or_report(Attribute::Leader, attribute.into(), &item.into()).into()
}

/// The targets of the fuzzer, for which these sources are a library without the macro: a crate of macros exports nothing else.
#[cfg(fuzzing)]
pub const TARGETS: &[(&str, fn(&[u8]))] = fuzz::TARGETS;

/// The locked function; or all errors beside the unchanged function, so that its callers still compile.
fn expand_or_report(which: Attribute, attribute: TokenStream, item: &TokenStream) -> TokenStream {
    match expand(which, attribute, item.clone()) {
        Ok(locked) => locked,
        Err(errors) => {
            let errors = errors.to_compile_error();
            // A parameter that only the key uses would be reported as unused, until the error is fixed.
            quote!(#errors #[allow(unused_variables)] #item)
        }
    }
}

/// The function in `item`, locked or led as `attribute` says.
fn expand(which: Attribute, attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let args = args::parse(which, attribute, &mut errors);
    let function = function::parse(item, &mut errors);
    check::check(args, function, errors).map(expand::expand)
}
