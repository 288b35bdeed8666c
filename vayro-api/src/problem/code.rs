//! The stable codes of problem documents.

use http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:ident, $title:literal;)+) => {
        /// What went wrong, as a client can act on it. A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code's text, as it stands in `code`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Returns the status every answer with this code has.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// Returns the sentence that stands in `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// Returns what the code means and what to do about it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or stops in the middle.
    MalformedBody = "malformed_body", BAD_REQUEST, "The body is not JSON";
    /// A query parameter is unknown, repeated or has a value that cannot be read; `errors` names it.
    InvalidQuery = "invalid_query", BAD_REQUEST, "A query parameter is not valid";
    /// A header has a value that cannot be read; `errors` names it.
    InvalidHeader = "invalid_header", BAD_REQUEST, "A header is not valid";
    /// Members of the body are missing, unknown or not allowed; `errors` names each with a JSON pointer.
    InvalidFields = "invalid_fields", UNPROCESSABLE_ENTITY, "Some fields are not valid";
    /// There is no valid API key and no session: sign in, or send `Authorization: Bearer`.
    NotAuthenticated = "not_authenticated", UNAUTHORIZED, "Sign in first";
    /// E-mail address and password do not belong together, or the account is switched off.
    WrongCredentials = "wrong_credentials", UNAUTHORIZED, "Wrong e-mail address or password";
    /// The shared statistics have a password; exchange it for a pass and send that.
    ShareLocked = "share_locked", UNAUTHORIZED, "A password is needed";
    /// The password is not that of the share.
    WrongPassword = "wrong_password", UNAUTHORIZED, "Wrong password";
    /// The role in this workspace, or the account, does not allow it.
    Forbidden = "forbidden", FORBIDDEN, "This is not allowed";
    /// The API key lacks a scope; `detail` names it.
    ScopeMissing = "scope_missing", FORBIDDEN, "The API key lacks a scope";
    /// A change with a session cookie came from another site, or from a page that does not say its origin.
    CrossSite = "cross_site", FORBIDDEN, "The request comes from another site";
    /// There is no such thing, or it is not yours to see.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// No route has this path.
    UnknownRoute = "unknown_route", NOT_FOUND, "There is no such route";
    /// The path exists, not with this method; `Allow` names those it has.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The short code is taken on this domain, perhaps by a deleted link that can still be restored.
    ShortCodeTaken = "short_code_taken", CONFLICT, "The short code is taken";
    /// The product keeps this short code for itself; choose another one.
    ShortCodeReserved = "short_code_reserved", UNPROCESSABLE_ENTITY, "The short code is reserved";
    /// The share has no password, so there is nothing to unlock.
    NotLocked = "not_locked", CONFLICT, "There is no password";
    /// The link is not deleted, so there is nothing to restore.
    NotDeleted = "not_deleted", CONFLICT, "The link is not deleted";
    /// The link was deleted longer ago than the restore window and will be purged.
    RestoreWindowOver = "restore_window_over", CONFLICT, "The link can no longer be restored";
    /// The host is registered on this instance already.
    DomainTaken = "domain_taken", CONFLICT, "The domain is taken";
    /// Links, perhaps deleted ones, still live on the domain.
    DomainInUse = "domain_in_use", CONFLICT, "The domain is in use";
    /// An account has this e-mail address already.
    EmailTaken = "email_taken", CONFLICT, "The e-mail address is taken";
    /// A workspace always has at least one owner.
    LastOwner = "last_owner", CONFLICT, "The last owner cannot go";
    /// A named limit of the instance is reached; `detail` says which.
    LimitReached = "limit_reached", CONFLICT, "A limit is reached";
    /// The link changed since it was read: read it again and decide anew.
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED, "The link has another version";
    /// The body is larger than the instance allows.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body must be sent with `Content-Type: application/json`.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters, or is sent more than once.
    InvalidIdempotencyKey = "invalid_idempotency_key", BAD_REQUEST, "The idempotency key is not valid";
    /// A request with this `Idempotency-Key` is still running. Send it again after `Retry-After` seconds.
    IdempotencyKeyInUse = "idempotency_key_in_use", CONFLICT, "The idempotency key is in use";
    /// This `Idempotency-Key` was used with another body; a new request needs a new key.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before";
    /// The request with this `Idempotency-Key` is done; its answer was too large to keep. Look at what it made.
    IdempotencyAnswerLost = "idempotency_answer_lost", CONFLICT, "The answer was not kept";
    /// Too many tries; `Retry-After` says how many seconds to wait.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// Something broke on our side; the log has the details under the request's id.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something broke on our side";
    /// A store is away or busy; nothing was decided. Try again after `Retry-After` seconds.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable";
    /// The request took longer than the instance allows. A change may or may not have been made.
    Timeout = "timeout", SERVICE_UNAVAILABLE, "The request took too long";
}
