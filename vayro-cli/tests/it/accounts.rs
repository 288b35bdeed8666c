//! `vayro login|logout|whoami`, `vayro key`, `vayro user`, `vayro domain`.

use std::os::unix::fs::PermissionsExt as _;

use super::run::Home;
use super::server::Server;

#[test]
fn signing_in_makes_a_key_and_signing_out_revokes_it() {
    let server = Server::start();
    let password = server.greeted("password");
    let dir = tempfile::tempdir().expect("another home");
    let home = Home::new(dir.path());
    let wrong =
        home.vayro_with_input(&["login", "--api", &server.api, "--email", "owner@localhost"], "wrong\n");
    insta::assert_snapshot!("login_wrong", server.redact(&wrong));

    let run =
        home.vayro_with_input(&["login", "--api", &server.api, "--email", "owner@localhost"], &password);
    insta::assert_snapshot!("login", server.redact(&run));
    let profile = dir.path().join("config/vayro/config.toml");
    let mode = std::fs::metadata(&profile).expect("a profile").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&profile).expect("it is text").contains(&password));
    let key = key_in(&profile);

    let me = home.vayro(&["whoami"]);
    assert_eq!(me.status, 0, "{me}");
    assert!(me.stdout.contains("email\towner@localhost\n") && me.stdout.contains(" ops\n"), "{me}");

    let out = home.vayro(&["logout"]);
    insta::assert_snapshot!("logout", server.redact(&out));
    assert_eq!(home.vayro(&["whoami"]).status, 4);
    let with_old_key = Home::new(dir.path())
        .with("VAYRO_API_KEY", key)
        .with("VAYRO_API_URL", &server.api)
        .vayro(&["whoami"]);
    assert_eq!(with_old_key.status, 4, "the key is revoked: {with_old_key}");
    insta::assert_snapshot!("logout_again", server.redact(&home.vayro(&["logout"])));
}

#[test]
fn a_key_can_be_handed_in_and_stays_when_signing_out() {
    let server = Server::start();
    let key = server.greeted("API key");
    let dir = tempfile::tempdir().expect("another home");
    let home = Home::new(dir.path());
    let login = ["login", "--with-key", "--api", &server.api, "--profile", "work"];
    let none = home.vayro(&login);
    assert_eq!(none.status, 2, "{none}");
    let bad = home.vayro_with_input(&login, "vayro_nonsense\n");
    assert_eq!(bad.status, 4, "{bad}");
    assert!(!dir.path().join("config").exists(), "a refused key is not kept");
    let run = home.vayro_with_input(&login, &format!("{key}\n"));
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(home.vayro(&["whoami", "--profile", "work"]).status, 0);
    assert_eq!(home.vayro(&["whoami"]).status, 4, "the default profile is another one");
    assert_eq!(home.vayro(&["logout", "--profile", "work"]).status, 0);
    server.ok(&["whoami"]);
}

#[test]
fn keys_do_what_their_scopes_say_until_they_are_revoked() {
    let server = Server::start();
    let created = server.vayro(&["key", "create", "reader", "--scope", "links:read", "--expires", "30d"]);
    insta::assert_snapshot!("key_create", server.redact(&created));
    let key = created.stdout.trim().to_owned();
    let home = || {
        let key = key.clone();
        server.home().with("VAYRO_API_KEY", key)
    };
    assert_eq!(home().vayro(&["link", "list"]).status, 0);
    insta::assert_snapshot!(
        "key_scope_missing",
        server.redact(&home().vayro(&["link", "create", "https://a.example/"]))
    );
    insta::assert_snapshot!("key_list", server.redact(&server.vayro(&["key", "list"])));
    let prefix: String = key.chars().take("vayro_".len() + 8).collect();
    let unconfirmed = server.vayro(&["key", "revoke", &prefix]);
    assert_eq!(unconfirmed.status, 2, "{unconfirmed}");
    let revoked = server.vayro(&["key", "revoke", &prefix, "--yes"]);
    insta::assert_snapshot!("key_revoke", server.redact(&revoked));
    assert_eq!(home().vayro(&["link", "list"]).status, 4);
    assert_eq!(server.ok(&["key", "list"]).lines().count(), 1);
    assert_eq!(server.ok(&["key", "list", "--all"]).lines().count(), 2);
    assert_eq!(server.vayro(&["key", "revoke", "vayro_nothere0", "--yes"]).status, 3);
}

#[test]
fn operators_make_and_change_accounts() {
    let server = Server::start();
    let made =
        server.home().vayro_with_input(&["user", "create", "Ada@Example.com"], "correct horse battery\n");
    insta::assert_snapshot!("user_create", server.redact(&made));
    let again =
        server.home().vayro_with_input(&["user", "create", "ada@example.com"], "correct horse battery\n");
    assert_eq!(again.status, 1, "{again}");
    let short = server.home().vayro_with_input(&["user", "create", "bob@example.com"], "short\n");
    assert_eq!(short.status, 1, "{short}");
    let generated = server.ok(&["user", "create", "bob@example.com", "--generate", "--operator"]);
    assert!(generated.trim().len() >= 16, "{generated}");
    insta::assert_snapshot!("user_list", server.redact(&server.vayro(&["user", "list"])));

    let login = |password: &str| {
        let dir = tempfile::tempdir().expect("another home");
        let home = Home::new(dir.path());
        home.vayro_with_input(&["login", "--api", &server.api, "--email", "ada@example.com"], password).status
    };
    assert_eq!(login("correct horse battery"), 0);
    let changed = server
        .home()
        .vayro_with_input(&["user", "update", "ada@example.com", "--password"], "another long one\n");
    assert_eq!(changed.status, 0, "{changed}");
    assert_eq!((login("correct horse battery"), login("another long one")), (4, 0));
    server.ok(&["user", "update", "ada@example.com", "--disable"]);
    assert_eq!(login("another long one"), 4);
    assert_eq!(server.vayro(&["user", "update", "nobody@example.com", "--enable"]).status, 3);
    assert_eq!(server.vayro(&["user", "update", "ada@example.com"]).status, 2);
}

#[test]
fn a_lost_password_is_replaced_without_the_api() {
    let server = Server::start();
    let data_dir = server.data_dir().display().to_string();
    let direct = ["user", "update", "owner@localhost", "--password", "--direct", "--data-dir", &data_dir];
    let run = server.home().vayro_with_input(&direct, "a new long password\n");
    assert_eq!(run.status, 0, "{run}");
    let dir = tempfile::tempdir().expect("another home");
    let login = ["login", "--api", &server.api, "--email", "owner@localhost"];
    assert_eq!(Home::new(dir.path()).vayro_with_input(&login, "a new long password\n").status, 0);
    let create = ["user", "create", "eve@example.com", "--direct", "--generate", "--data-dir", &data_dir];
    assert_eq!(server.vayro(&create).status, 0);
    assert_eq!(server.vayro(&create).status, 1, "the address is taken");
    let nobody = ["user", "update", "nobody@example.com", "--disable", "--direct", "--data-dir", &data_dir];
    assert_eq!(server.vayro(&nobody).status, 3);
}

#[test]
fn domains_are_added_used_and_removed() {
    let server = Server::start();
    insta::assert_snapshot!("domain_add", server.redact(&server.vayro(&["domain", "add", "Go.Example.com"])));
    insta::assert_snapshot!("domain_list", server.redact(&server.vayro(&["domain", "list"])));
    let create = ["link", "create", "https://a.example/", "--code", "x", "--domain", "go.example.com"];
    let short_url = server.ok(&create);
    assert!(short_url.contains("//go.example.com:"), "{short_url}");
    let used = server.vayro(&["domain", "remove", "go.example.com", "--yes"]);
    insta::assert_snapshot!("domain_remove_used", server.redact(&used));
    server.ok(&["domain", "add", "free.example.com"]);
    assert_eq!(server.vayro(&["domain", "remove", "free.example.com"]).status, 2, "not confirmed");
    server.ok(&["domain", "remove", "free.example.com", "--yes"]);
    assert_eq!(server.vayro(&["domain", "remove", "free.example.com", "--yes"]).status, 3);
}

fn key_in(profile: &std::path::Path) -> String {
    let text = std::fs::read_to_string(profile).expect("a profile");
    let start = text.find("vayro_").expect("it holds a key");
    text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
