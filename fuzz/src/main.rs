//! One program for all targets: `TARGET` names the body that it calls. `run` builds and starts it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BODY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TARGET").expect("TARGET names what to fuzz");
    let mut all = locks_runtime::fuzz::TARGETS.iter().chain(locks_macros_source::TARGETS);
    let names: Vec<_> = all.clone().map(|(name, _)| *name).collect();
    all.find(|(target, _)| *target == name).unwrap_or_else(|| panic!("TARGET={name}: expected one of {names:?}")).1
});

fuzz_target!(|bytes: &[u8]| BODY(bytes));
