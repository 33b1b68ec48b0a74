//! Hardware addresses by chance.

use crate::types::{CniError, ErrorCode};
use netstate::Mac;

/// A locally administered address by chance.
pub(crate) fn random_mac() -> Result<Mac, CniError> {
    let mut bytes = [0; 6];
    // SAFETY: the pointer and the length are of the array above, which getrandom(2) fills.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match got {
        6 => Ok(Mac::local(bytes)),
        _ => {
            let why = std::io::Error::last_os_error();
            Err(CniError::new(
                ErrorCode::Io,
                format!("no random bytes: {why}"),
                "check that the kernel has getrandom",
            ))
        }
    }
}
