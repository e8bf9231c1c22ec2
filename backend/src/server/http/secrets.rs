//! Passwords and random secrets.

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The shortest and the longest password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=1000;

/// A secret of 256 random bits, in characters that need no escape in an address.
///
/// # Errors
/// Where the system gives no random numbers.
pub(super) fn secret() -> Result<String, std::io::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Argon2id's hash of a password, with its salt and parameters (RFC 9106; the crate's defaults).
///
/// # Errors
/// A password that is too short or too long, in words for the user.
pub(crate) fn hash_password(password: &str) -> Result<String, String> {
    let length = password.chars().count();
    if !LENGTH.contains(&length) {
        return Err(format!("it has {length} characters; choose {} to {}", LENGTH.start(), LENGTH.end()));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

/// Whether `password` is the one of `hash`. Takes as long where there is no hash.
pub(crate) fn password_is(password: &str, hash: Option<&str>) -> bool {
    match hash.and_then(|hash| PasswordHash::new(hash).ok()) {
        Some(hash) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
        None => {
            // The time must not tell whether there is a password.
            let _ = Argon2::default().hash_password(password.as_bytes());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits_its_hash() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        assert!(password_is("correct horse", Some(&hash)));
        assert!(!password_is("correct horsf", Some(&hash)));
        assert!(!password_is("", None) && !password_is("x", Some("not a hash")));
        assert!(hash_password("short").unwrap_err().contains("5 characters"));
    }

    #[test]
    fn secrets_differ_and_are_long() {
        let (a, b) = (secret().unwrap(), secret().unwrap());
        assert!(a != b && a.len() == 43);
    }
}
