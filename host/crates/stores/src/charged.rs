//! Values that the host holds for a guest, with the charge that counts them.

use bobbin_inference::Charge;

/// A value on its way to a guest. It counts against the request's account for as long as this lives.
#[derive(Debug)]
pub struct Charged<T> {
    /// The value.
    pub value: T,
    charge: Charge,
}

impl<T> Charged<T> {
    /// A value and what it costs.
    pub fn new(value: T, charge: Charge) -> Self {
        Self { value, charge }
    }

    /// The value, and what it costs for as long as it is kept.
    pub fn into_parts(self) -> (T, Charge) {
        (self.value, self.charge)
    }
}
