//! `fermyon:spin/variables@2.0.0`.

use super::v2_wit::fermyon::spin::variables::{Error, Host};
use crate::spin::Spin;
use bobbin_stores::variables::LookupError;

impl Host for Spin {
    fn get(&mut self, name: String) -> Result<String, Error> {
        self.kept.variables.get(&name).map(str::to_owned).map_err(|error| match &error {
            LookupError::InvalidName { .. } => Error::InvalidName(error.to_string()),
            LookupError::Undefined { .. } => Error::Undefined(error.to_string()),
        })
    }
}
