//! What servers say in place of what was asked, as errors that lead to an action.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::tsig::TsigError;

use super::message::{Answered, shown};
use super::record::{Odd, Place, plain};
use super::server::Server;
use super::settings::{FUDGE, Settings};
use crate::routers::{RouterError, Trouble};

/// A server without the record as it can be moved.
pub fn odd(place: &Place, server: &Server, odd: &Odd) -> RouterError {
    let (zone, shown) = (plain(&place.zone), place.shown());
    match odd {
        Odd::NotItsZone => {
            let what = format!("{server} does not answer for the zone `{zone}` by itself");
            RouterError::new(Trouble::NotFound, what).cure("name authoritative servers under `servers`, no resolvers")
        }
        Odd::Missing(None) => RouterError::new(Trouble::NotFound, format!("{server} has no record {shown}"))
            .cure("add the record by hand, as it is to stand for BLUE"),
        Odd::Missing(Some(RecordType::CNAME)) => RouterError::new(
            Trouble::Invalid,
            format!("{server} has a CNAME in place of {shown}: an update of it would be dropped without an error"),
        )
        .cure("write `type: CNAME` with the names both sides have"),
        Odd::Missing(Some(other)) => RouterError::new(
            Trouble::Invalid,
            format!("{server} has {other} beside {shown}: a CNAME stands alone, and an update would be dropped without an error"),
        )
        .cure(format!("write `type: {other}`, or take those records away")),
    }
}

/// The primary's no to an update; none where its condition did not hold, since what there is instead has to be read.
pub fn refused(settings: &Settings, place: &Place, server: &Server, answered: Answered) -> Option<RouterError> {
    let (zone, key) = (plain(&place.zone), &settings.key.name);
    Some(match answered {
        Answered::Unsigned(error) => {
            let (name, cure) = match error {
                TsigError::BadKey => ("BADKEY".into(), format!("give the primary a key `{key}` of that algorithm")),
                TsigError::BadSig => ("BADSIG".into(), "give both the same secret".into()),
                TsigError::BadTime => ("BADTIME".into(), format!("set the clocks: they may be {FUDGE} s apart")),
                other => (format!("TSIG error {}", u16::from(other)), "compare the key at both ends".into()),
            };
            // Nobody signed this, so it does not prove that nothing was changed.
            RouterError {
                moved: true,
                ..RouterError::new(Trouble::Denied, format!("{server} does not take the key `{key}`: NOTAUTH ({name})"))
            }
            .cure(cure)
        }
        Answered::Proven(code) => {
            let of = |kind, why: &str| {
                RouterError::new(kind, format!("{server} refuses the update: {} ({why})", shown(code)))
            };
            match code {
                ResponseCode::NXRRSet | ResponseCode::YXRRSet | ResponseCode::NXDomain | ResponseCode::YXDomain => {
                    return None;
                }
                ResponseCode::Refused => of(Trouble::Denied, "the key has no right to it").cure(format!(
                    "update-policy {{ grant {key} name {} {}; grant {key} name {} TXT; }};",
                    plain(&place.name),
                    place.kind,
                    plain(&place.beside)
                )),
                ResponseCode::NotAuth | ResponseCode::NotZone => {
                    of(Trouble::NotFound, &format!("it is no primary of `{zone}`"))
                        .cure("name the primary first under `servers`")
                }
                ResponseCode::NotImp => of(Trouble::Invalid, "it takes no dynamic updates"),
                ResponseCode::FormErr => of(Trouble::Invalid, "it does not understand it"),
                // Broken on the way: whether it was done is for a reading to say.
                _ => RouterError { moved: true, ..of(Trouble::Unreachable, "it broke on the way") },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_no_has_its_kind_and_whether_users_may_have_moved() {
        let settings = Settings::read(&json!({
            "zone": "example.test", "name": "bot.example.test", "servers": ["127.0.0.1"], "health": "http://a.test/",
            "blue": ["127.0.0.1"], "green": ["127.0.0.2"], "key": { "name": "k", "secret": "${env:K}" },
        }))
        .unwrap();
        let (place, server) = (Place::new(&settings).unwrap(), Server::new("127.0.0.1").unwrap());
        let of = |answered| refused(&settings, &place, &server, answered);
        let table = [
            (Answered::Unsigned(TsigError::BadKey), "BADKEY", Trouble::Denied, true, true),
            (Answered::Unsigned(TsigError::BadSig), "BADSIG", Trouble::Denied, true, true),
            (Answered::Unsigned(TsigError::BadTime), "BADTIME", Trouble::Denied, true, true),
            (Answered::Unsigned(TsigError::Unknown(99)), "TSIG error 99", Trouble::Denied, true, true),
            (Answered::Proven(ResponseCode::Refused), "REFUSED", Trouble::Denied, false, true),
            (Answered::Proven(ResponseCode::NotAuth), "NOTAUTH", Trouble::NotFound, false, true),
            (Answered::Proven(ResponseCode::NotZone), "NOTZONE", Trouble::NotFound, false, true),
            (Answered::Proven(ResponseCode::NotImp), "NOTIMP", Trouble::Invalid, false, false),
            (Answered::Proven(ResponseCode::FormErr), "FORMERR", Trouble::Invalid, false, false),
            (Answered::Proven(ResponseCode::ServFail), "SERVFAIL", Trouble::Unreachable, true, false),
        ];
        for (answered, words, kind, moved, cured) in table {
            let error = of(answered).unwrap();
            assert!(error.what.contains(words), "{words}: {error:?}");
            assert_eq!((error.kind, error.moved, error.cure.is_some()), (kind, moved, cured), "{words}");
        }
        for code in [ResponseCode::NXRRSet, ResponseCode::YXRRSet, ResponseCode::NXDomain, ResponseCode::YXDomain] {
            assert!(of(Answered::Proven(code)).is_none(), "what there is instead is read");
        }
    }
}
