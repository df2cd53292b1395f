//! `wasi:config/store`, in the version that Spin links.

use super::wasi_wit::wasi::config::store::{Error, Host};
use crate::spin::Spin;

impl Host for Spin {
    /// What is not there and what cannot be there are both nothing, as the interface's authors have it.
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        Ok(self.kept.variables.get(&key).ok().map(str::to_owned))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.kept.variables.all().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
