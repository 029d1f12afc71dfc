//! The URLs of PostgreSQL as teams have them, for libpq, asyncpg, JDBC or Prisma: what each part means is kept, or it is named
//! and refused. Nothing is left out in silence that could change where a question goes, or whom it trusts.
//!
//! A URL is a secret: what is said of one names its parameters and never its values.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::tls::Trust;

/// A server, or several of which one is wanted.
#[derive(Clone, Debug)]
pub struct Address {
    pub config: Config,
    pub trust: Trust,
    pub wanted: Wanted,
    /// Where names without a schema are looked up, where the URL says it.
    pub schema: Option<String>,
}

/// `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    #[default]
    Any,
    /// `read-write`, `primary`.
    Primary,
    /// `read-only`, `standby`.
    Standby,
}

/// Parameters that say how many connections are kept, or how they are used again: each question of ours has one of its own.
const OF_POOLS: &[&str] = &[
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "pool_size",
    "max_size",
    "min_size",
    "pool_max_conns",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "max_cached_statement_lifetime",
    "preparethreshold",
    "socket_timeout",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "keepalives_retries",
    "tcp_user_timeout",
    "load_balance_hosts",
    "fallback_application_name",
    "gssencmode",
];

/// Reads a URL, or says which part of it is not understood.
pub fn read(url: &str) -> Result<Address, String> {
    let url = url.trim();
    if !url.contains("://") {
        return Err("its URL does not begin with `postgres://`".into());
    }
    let (scheme, rest) = url.strip_prefix("jdbc:").unwrap_or(url).split_once("://").unwrap_or_default();
    // `postgresql+asyncpg://` names the library that an app speaks through.
    if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
        return Err("its URL does not begin with `postgres://` or `postgresql://`".into());
    }
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Whoever has a `/`, `?`, `#` or `@` in a password without writing it as `%..` has another URL than they think.
    let authority = base.split('/').next().unwrap_or_default();
    if authority.matches('@').count() > 1 {
        return Err("there are two `@` in its URL: in a password, write `%40`".into());
    }
    if query.contains('@') || base.contains('#') {
        return Err("a character of its password ends it: write `%23` for `#`, `%2F` for `/`, `%3F` for `?`".into());
    }
    let parsed: Result<Config, _> = format!("postgres://{base}").parse();
    let mut address = Address {
        config: parsed.map_err(|_| "its URL cannot be read: user, host, port or database".to_string())?,
        trust: Trust::default(),
        wanted: Wanted::Any,
        schema: None,
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        address.take(&name, &value)?;
    }
    if address.config.get_hosts().is_empty() && address.config.get_hostaddrs().is_empty() {
        return Err("its URL names no host".into());
    }
    Ok(address)
}

impl Address {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let not = |what: &str| Err(format!("`{name}` of its URL {what}"));
        match name {
            "sslmode" | "ssl" => return self.tls(name, value),
            "sslrootcert" if value == "system" => self.trust.roots = None,
            "sslrootcert" => self.trust.roots = Some(PathBuf::from(value)),
            "sslnegotiation" => match value {
                "postgres" => drop(self.config.ssl_negotiation(SslNegotiation::Postgres)),
                "direct" => drop(self.config.ssl_negotiation(SslNegotiation::Direct)),
                _ => return not("is neither `postgres` nor `direct`"),
            },
            "channel_binding" => match value {
                "disable" => drop(self.config.channel_binding(ChannelBinding::Disable)),
                "prefer" => drop(self.config.channel_binding(ChannelBinding::Prefer)),
                "require" => drop(self.config.channel_binding(ChannelBinding::Require)),
                _ => return not("is none of `disable`, `prefer`, `require`"),
            },
            "target_session_attrs" | "targetServerType" => {
                self.wanted = match value {
                    "any" => Wanted::Any,
                    "read-write" | "primary" => Wanted::Primary,
                    "read-only" | "standby" | "secondary" => Wanted::Standby,
                    _ => return not("can be `any`, `read-write`, `primary`, `read-only` or `standby` here"),
                }
            }
            // Prisma's, and JDBC's.
            "schema" | "currentSchema" => self.schema = Some(value.to_string()),
            "sslcert" | "sslkey" | "sslpassword" | "sslidentity" => {
                return not(
                    "is for a client's certificate, and bgctl has none to show: give it a role with a password",
                );
            }
            "sslcrl" | "sslcrldir" => return not("is a list of revoked certificates, which bgctl does not ask"),
            "sslaccept" if value == "strict" => {}
            "sslaccept" => return not("would trust any certificate: name its authority with `sslrootcert`"),
            "gssencmode" if value == "require" => return not("asks for Kerberos, which bgctl does not speak"),
            "client_encoding" if ["utf8", "utf-8", "auto"].contains(&value.to_lowercase().as_str()) => {}
            "client_encoding" => return not("can only be UTF8"),
            "service" | "passfile" | "servicefile" => return not("names a file of libpq: write the whole URL"),
            _ if OF_POOLS.contains(&name.to_lowercase().as_str()) => {}
            "user" => drop(self.config.user(value)),
            "password" => drop(self.config.password(value)),
            "dbname" => drop(self.config.dbname(value)),
            "application_name" | "ApplicationName" => drop(self.config.application_name(value)),
            "options" => drop(self.config.options(value)),
            "host" => drop(self.config.host(value)),
            "hostaddr" => match value.parse() {
                Ok(address) => drop(self.config.hostaddr(address)),
                Err(_) => return not("is no address"),
            },
            "port" => match value.parse() {
                Ok(port) => drop(self.config.port(port)),
                Err(_) => return not("is no port"),
            },
            // A name that is none may be a piece of a password.
            _ if name.len() > 40 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                return Err("a parameter of its URL cannot be read".into());
            }
            _ => return not("is not known to bgctl, so what it means cannot be kept: leave it out"),
        }
        Ok(())
    }

    /// libpq trusts any certificate below `verify-ca`; here each is held to its authority and its name, so nothing that is asked
    /// for is weaker than it says.
    fn tls(&mut self, name: &str, value: &str) -> Result<(), String> {
        let mode = match value {
            "disable" | "false" | "0" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" | "true" | "1" => SslMode::Require,
            _ => {
                let known = "`disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";
                return Err(format!("`{name}` of its URL is none of {known}"));
            }
        };
        self.config.ssl_mode(mode);
        self.trust.any_name = value == "verify-ca";
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mode, roots, any name, wanted, schema.
    type Seen = (SslMode, Option<String>, bool, Wanted, Option<String>);

    /// What a URL comes to.
    fn seen(url: &str) -> Result<Seen, String> {
        let Address { config, trust, wanted, schema } = read(url)?;
        let roots = trust.roots.map(|path| path.display().to_string());
        Ok((config.get_ssl_mode(), roots, trust.any_name, wanted, schema))
    }

    #[test]
    fn t18_urls_as_teams_have_them_are_understood_or_refused_by_name() {
        use SslMode::{Disable, Prefer, Require};
        use Wanted::{Any, Primary, Standby};
        let plain = (Prefer, None, false, Any, None);
        let require = (Require, None, false, Any, None);
        let with = |schema: &str| (Prefer, None, false, Any, Some(schema.to_string()));
        let roots = |any| (Require, Some("/etc/ca.pem".to_string()), any, Any, None);
        for (url, wanted) in [
            ("postgres://app:pw@db/bot", plain.clone()),
            ("postgresql://app:pw@db:5433/bot", plain.clone()),
            ("postgresql://db", plain.clone()),
            ("postgresql+asyncpg://app:pw@db/bot", plain.clone()),
            ("postgresql+psycopg2://app:pw@db/bot", plain.clone()),
            ("postgresql+psycopg://app:pw@db/bot", plain.clone()),
            ("jdbc:postgresql://db:5432/bot?user=app&password=pw&ssl=true", require.clone()),
            ("postgres://app:pw@db/bot?sslmode=disable", (Disable, None, false, Any, None)),
            ("postgres://app:pw@db/bot?sslmode=allow", plain.clone()),
            ("postgres://app:pw@db/bot?sslmode=prefer", plain.clone()),
            ("postgres://app:pw@db/bot?sslmode=require", require.clone()),
            ("postgres://app:pw@db/bot?ssl=require", require.clone()),
            ("postgres://app:pw@db/bot?sslmode=verify-full", require.clone()),
            ("postgres://app:pw@db/bot?sslmode=verify-full&sslrootcert=system", require.clone()),
            ("postgres://app:pw@db/bot?sslmode=verify-full&sslrootcert=/etc/ca.pem", roots(false)),
            ("postgres://app:pw@db/bot?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-ca", roots(true)),
            ("postgres://app:pw@db/bot?schema=public", with("public")),
            ("postgres://app:pw@db/bot?schema=public&pgbouncer=true&connection_limit=1", with("public")),
            ("jdbc:postgresql://db/bot?currentSchema=app", with("app")),
            ("postgres://app:pw@db/bot?pgbouncer=true", plain.clone()),
            ("postgres://a:b@one,two:5433/bot?target_session_attrs=read-write", (Prefer, None, false, Primary, None)),
            ("postgres://a:b@one,two/bot?target_session_attrs=primary", (Prefer, None, false, Primary, None)),
            ("postgres://a:b@one,two/bot?target_session_attrs=standby", (Prefer, None, false, Standby, None)),
            ("postgres://a:b@one/bot?target_session_attrs=any", plain.clone()),
            ("postgres://a:b@db/bot?channel_binding=require&sslmode=require", require.clone()),
            ("postgres://a:b@db/bot?connect_timeout=10&application_name=bot", plain.clone()),
            ("postgres://a:b@db/bot?options=-c%20search_path%3Dbot", plain.clone()),
            ("postgres://a:b@db/bot?sslmode=require&sslnegotiation=direct", require.clone()),
            ("postgres://app:p%40ss%2F%3F@db/bot", plain.clone()),
            ("postgresql:///bot?host=/var/run/postgresql", plain.clone()),
            ("postgresql://app@%2Fvar%2Frun%2Fpostgresql/bot", plain.clone()),
            ("postgres://app:pw@[::1]:5432/bot", plain.clone()),
            ("postgres://app:pw@db/bot?keepalives_idle=30&tcp_user_timeout=5", plain.clone()),
            ("postgres://app:pw@db/bot?client_encoding=utf8&gssencmode=prefer", plain.clone()),
        ] {
            assert_eq!(seen(url), Ok(wanted), "{url}");
        }
        for (url, words) in [
            ("mysql://app:hunter2@db/bot", "`postgres://`"),
            ("db.internal:5432", "`postgres://`"),
            ("postgres://app:hunter2@db/bot?sslmode=strict", "`sslmode` of its URL is none of"),
            ("postgres://app:hunter2@db/bot?sslcert=/c.pem&sslkey=/k.pem", "`sslcert` of its URL is for a client's"),
            ("postgres://app:hunter2@db/bot?sslcrl=/crl.pem", "`sslcrl`"),
            ("postgres://app:hunter2@db/bot?sslaccept=accept_invalid_certs", "`sslaccept` of its URL would trust any"),
            ("postgres://app:hunter2@db/bot?target_session_attrs=prefer-standby", "`target_session_attrs`"),
            ("postgres://app:hunter2@db/bot?gssencmode=require", "Kerberos"),
            ("postgres://app:hunter2@db/bot?client_encoding=latin1", "`client_encoding`"),
            ("postgres://app:hunter2@db/bot?service=bot", "`service`"),
            ("postgres://app:hunter2@db/bot?what=ever", "`what` of its URL is not known"),
            ("postgres://app:hun@ter2@db/bot", "`%40`"),
            ("postgres://app:hun?ter2@db/bot", "`%3F`"),
            ("postgres://app:hun#ter2@db/bot", "`%23`"),
            ("postgres:///bot", "names no host"),
            ("postgres://app:hunter2@db:many/bot", "port"),
        ] {
            let why = seen(url).unwrap_err();
            assert!(why.contains(words) && !why.contains("hunter2") && !why.contains("ter2"), "{url}: {why}");
        }
    }
}
