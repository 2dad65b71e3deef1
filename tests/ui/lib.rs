//! Only tests are in this package.
