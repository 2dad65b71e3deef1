//! The real etcd store and the whole engine on the model of etcd.

mod conformance;
mod faults;
mod plans;
mod seeds;
