//! The stores of this crate, each knowing the contract only.

#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(unix)]
pub mod file;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;
