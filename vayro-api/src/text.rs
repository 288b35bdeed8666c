//! Rules of the texts that people give things.

use crate::problem::FieldError;

/// Checks a name: something visible in it, no control characters, at most `len_max` bytes.
pub(crate) fn name(pointer: &str, text: &str, len_max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FieldError::field(pointer, "must not be empty"));
    }
    optional_name(pointer, text, len_max)
}

/// Checks a name that may be empty.
pub(crate) fn optional_name(pointer: &str, text: &str, len_max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text.len() > len_max {
        return Err(FieldError::field(
            pointer,
            format!("is {} bytes long, the longest allowed is {len_max}", text.len()),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(FieldError::field(pointer, "contains a control character"));
    }
    Ok(text.to_owned())
}

/// Keeps the value, or puts the mistake on the list.
pub(crate) fn collect<T>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}
