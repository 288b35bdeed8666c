//! What the path of a request asks for.

use http::Method;
use percent_encoding::percent_decode;

use super::Page;
use crate::click::ClickMethod;
use crate::short_code::ShortCode;

/// What a request on a host of short links is about, before anybody looks for a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The link under this code.
    Link(Code, ClickMethod),
    /// Something that is known without a look-up.
    Page(Page),
}

/// A valid short code, copied out of the request so that the answer can borrow the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    len: usize,
    bytes: [u8; ShortCode::LEN_MAX],
}

impl Code {
    /// Copies `bytes` if they are a short code.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if !ShortCode::is_valid(bytes) {
            return None;
        }
        let mut code = Self { len: bytes.len(), bytes: [0; ShortCode::LEN_MAX] };
        code.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(code)
    }

    /// Returns the code.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Tells what a request is about; `path` is without the query.
pub fn wanted(method: &Method, path: &[u8]) -> Wanted {
    let method = match *method {
        Method::GET => ClickMethod::Get,
        Method::HEAD => ClickMethod::Head,
        _ => return Wanted::Page(Page::MethodNotAllowed),
    };
    let Some(name) = path.strip_prefix(b"/") else { return Wanted::Page(Page::NotFound) };
    match name {
        b"" => return Wanted::Page(Page::Root),
        b"robots.txt" => return Wanted::Page(Page::Robots),
        b"favicon.ico" => return Wanted::Page(Page::NoFavicon),
        _ => {}
    }
    // People and chat programs add a slash at the end.
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let code = if memchr::memchr(b'%', name).is_some() {
        // `%61` is another way to write `a`.
        Code::new(&percent_decode(name).collect::<Vec<_>>())
    } else {
        Code::new(name)
    };
    code.map_or(Wanted::Page(Page::NotFound), |code| Wanted::Link(code, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &str) -> Option<String> {
        match wanted(&Method::GET, path.as_bytes()) {
            Wanted::Link(code, _) => Some(String::from_utf8(code.as_bytes().to_vec()).expect("ASCII")),
            Wanted::Page(_) => None,
        }
    }

    #[test]
    fn paths_become_codes_or_nothing() {
        assert_eq!(code("/launch").as_deref(), Some("launch"));
        assert_eq!(code("/launch/").as_deref(), Some("launch"));
        assert_eq!(code("/l%61unch").as_deref(), Some("launch"));
        let page = |path: &str| wanted(&Method::GET, path.as_bytes());
        for path in ["//launch", "/launch//", "/a/b", "/.env", "/a b", "/l%00", "/%ff", "launch"] {
            assert_eq!(page(path), Wanted::Page(Page::NotFound), "{path}");
        }
        assert_eq!(code(&format!("/{}", "a".repeat(50))).map(|code| code.len()), Some(50));
        assert_eq!(code(&format!("/{}", "a".repeat(51))), None);
        assert_eq!(page("/"), Wanted::Page(Page::Root));
        assert_eq!(page("/robots.txt"), Wanted::Page(Page::Robots));
        assert_eq!(page("/favicon.ico"), Wanted::Page(Page::NoFavicon));
        assert_eq!(wanted(&Method::POST, b"/launch"), Wanted::Page(Page::MethodNotAllowed));
    }
}
