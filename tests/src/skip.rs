//! Tests that need what a machine may not have.

/// Says on standard output why a test is skipped.
///
/// # Panics
/// Where the variable declares present what is missing: then a test that skipped would hide that it is not.
pub(crate) fn skipped<T>(require: &str, missing: &str) -> Option<T> {
    let declared = std::env::var(require).is_ok_and(|value| value == "1");
    assert!(!declared, "{require}=1, but {missing}");
    println!("skipped: {missing}");
    None
}
