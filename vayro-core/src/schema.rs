//! How a database's schema compares with a program.

/// What a program finds when it looks at the migrations a database has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration of this program is applied, and no other.
    Current,
    /// This many migrations of this program are not applied yet; `vayro migrate` does it.
    Behind(u32),
    /// The database was migrated by a newer program.
    Ahead,
}

/// Compares the versions of the migrations a program knows with those a database has had.
pub fn compare(known: &[i64], applied: &[i64]) -> SchemaState {
    if applied.iter().any(|version| !known.contains(version)) {
        return SchemaState::Ahead;
    }
    let missing = known.iter().filter(|version| !applied.contains(version)).count();
    match u32::try_from(missing) {
        Ok(0) => SchemaState::Current,
        Ok(missing) => SchemaState::Behind(missing),
        Err(_) => SchemaState::Behind(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        assert_eq!(compare(&[1, 2], &[1, 2]), SchemaState::Current);
        assert_eq!(compare(&[1, 2], &[]), SchemaState::Behind(2));
        assert_eq!(compare(&[1, 2], &[1]), SchemaState::Behind(1));
        assert_eq!(compare(&[1, 2], &[1, 2, 3]), SchemaState::Ahead);
        assert_eq!(compare(&[1, 2], &[3]), SchemaState::Ahead);
    }
}
