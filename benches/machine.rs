//! The machine, and the versions of the clients.

use std::fs;

/// As in "2 cores (Some Processor), 8 GB, Linux 6.1".
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    let memory = read("/proc/meminfo");
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let gigabytes = kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default().div_ceil(1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split(['-', '+']).next().unwrap_or_default().trim();
    format!("{cores} cores ({model}), {gigabytes} GB, Linux {kernel}")
}

/// The version of a crate in our `Cargo.lock`.
pub(crate) fn crate_version(name: &str) -> &'static str {
    const LOCK: &str = include_str!("../Cargo.lock");
    let version =
        LOCK.split("[[package]]\n").find_map(|one| one.strip_prefix(&format!("name = \"{name}\"\nversion = \"")));
    version.and_then(|rest| rest.split('"').next()).unwrap_or("of unknown version")
}
