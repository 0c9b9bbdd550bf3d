//! x
#[test] fn a() {}
