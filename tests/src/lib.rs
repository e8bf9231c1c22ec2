//! End to end tests of MuDI Studio.
