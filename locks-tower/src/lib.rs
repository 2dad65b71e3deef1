#![doc = include_str!("../README.md")]

mod body;
mod fence;
mod key;
mod layer;
mod options;
mod refusal;
mod service;

pub use body::LockBody;
pub use fence::LockFence;
pub use key::RequestKey;
pub use layer::LockLayer;
pub use options::Until;
pub use refusal::Refused;
pub use service::LockService;
