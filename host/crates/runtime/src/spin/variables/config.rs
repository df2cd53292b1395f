//! `fermyon:spin/config`, without a version: Spin 1's variables.

use super::v1_wit::fermyon::spin::config::{Error, Host};
use crate::spin::Spin;
use bobbin_stores::variables::LookupError;

impl Host for Spin {
    fn get_config(&mut self, key: String) -> Result<String, Error> {
        self.kept.variables.get(&key).map(str::to_owned).map_err(|error| match &error {
            LookupError::InvalidName { .. } => Error::InvalidKey(error.to_string()),
            LookupError::Undefined { .. } => Error::Provider(error.to_string()),
        })
    }
}
