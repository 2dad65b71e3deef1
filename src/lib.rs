//! One attribute makes a function a critical section across every process that shares a store.
