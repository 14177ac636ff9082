#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use serde_json::{Value, json};

/// Some day in 2026.
const NOW: i64 = 1_795_000_000;
const LIFE: i64 = 900;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn tokens(keys: &[SigningKey]) -> Tokens {
    let config = TokenConfig { issuer: "clinic".into(), audience: "api".into(), life: LIFE };
    Tokens::new(keys, config).unwrap()
}

fn one() -> NewToken {
    NewToken {
        id: Uuid::from_u128(3),
        account: Uuid::from_u128(1),
        session: Uuid::from_u128(2),
        roles: vec!["doctor".into()],
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn head(kid: &str) -> Value {
    json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" })
}

fn claims() -> Value {
    json!({
        "iss": "clinic", "aud": "api", "typ": "access", "roles": ["doctor"],
        "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2), "jti": Uuid::from_u128(3),
        "iat": NOW, "nbf": NOW, "exp": NOW + LIFE,
    })
}

/// A token of any head and claims, with a genuine signature of `key`.
fn signed(key: &SigningKey, head: &str, claims: &str) -> String {
    let message = format!("{head}.{claims}");
    let signer = EncodingKey::from_ed_der(key.pkcs8());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer, Algorithm::EdDSA);
    format!("{message}.{}", signature.unwrap())
}

fn key() -> SigningKey {
    SigningKey::generate(1).unwrap()
}

#[test]
fn issued_tokens_verify_within_their_life() {
    let tokens = tokens(&[key()]);
    let token = tokens.issue(one(), at(NOW)).unwrap();
    let claims = tokens.verify(&token, at(NOW)).unwrap();
    assert_eq!((claims.sub, claims.sid, claims.jti), (one().account, one().session, one().id));
    assert_eq!((claims.roles.as_slice(), claims.exp), (&["doctor".to_owned()][..], NOW + LIFE));
    for (second, answer) in [
        (NOW - LEEWAY - 1, Err(TokenError::NotYetValid)),
        (NOW - LEEWAY, Ok(())),
        (NOW + LIFE + LEEWAY - 1, Ok(())),
        (NOW + LIFE + LEEWAY, Err(TokenError::Expired)),
        (NOW + 10 * LIFE, Err(TokenError::Expired)),
    ] {
        assert_eq!(tokens.verify(&token, at(second)).map(|_| ()), answer, "{second}");
    }
}

#[test]
fn the_last_key_signs_and_all_verify() {
    let (old, new) = (key(), SigningKey::generate(2).unwrap());
    let before = tokens(std::slice::from_ref(&old));
    let after = tokens(&[old, new.clone()]);
    let token = before.issue(one(), at(NOW)).unwrap();
    assert!(after.verify(&token, at(NOW)).is_ok());
    let token = after.issue(one(), at(NOW)).unwrap();
    assert_eq!(before.verify(&token, at(NOW)), Err(TokenError::UnknownKey));
    assert!(tokens(&[new]).verify(&token, at(NOW)).is_ok());
    assert!(matches!(Tokens::new(&[], before.config.clone()), Err(TokenError::CannotSign)));
}

#[test]
fn hostile_heads_are_refused() {
    let key = key();
    let tokens = tokens(std::slice::from_ref(&key));
    let kid = key.kid.as_str();
    let body = part(&claims());
    let good = signed(&key, &part(&head(kid)), &body);
    assert!(tokens.verify(&good, at(NOW)).is_ok());

    let with = |name: &str, value: Value| {
        let mut head = head(kid);
        head[name] = value;
        signed(&key, &part(&head), &body)
    };
    let unsigned = part(&json!({ "alg": "none", "kid": kid, "typ": "JWT" }));
    for (token, reason) in [
        (format!("{unsigned}.{body}."), TokenError::WrongAlgorithm),
        (format!("{}.{body}.", part(&head(kid))), TokenError::BadSignature),
        (with("alg", json!("none")), TokenError::WrongAlgorithm),
        (with("alg", json!("ES256")), TokenError::WrongAlgorithm),
        (with("alg", json!("eddsa")), TokenError::WrongAlgorithm),
        (with("kid", json!("000009-deadbeef")), TokenError::UnknownKey),
        (with("kid", json!("../../etc/passwd")), TokenError::UnknownKey),
        (with("kid", json!(1)), TokenError::Malformed),
        (with("typ", json!("rt+jwt")), TokenError::WrongType),
        (with("jku", json!("https://evil.example/keys")), TokenError::Malformed),
        (with("jwk", json!({ "kty": "OKP" })), TokenError::Malformed),
        (with("x5u", json!("https://evil.example/x")), TokenError::Malformed),
        (with("x5c", json!([])), TokenError::Malformed),
        (with("crit", json!(["exp"])), TokenError::Malformed),
        (with("b64", json!(false)), TokenError::Malformed),
        (
            signed(&key, &part(&json!({ "alg": "EdDSA", "typ": "JWT" })), &body),
            TokenError::Malformed,
        ),
    ] {
        assert_eq!(tokens.verify(&token, at(NOW)), Err(reason), "{token}");
    }
}

#[test]
fn a_public_key_is_no_secret_for_hs256() {
    let key = key();
    let tokens = tokens(std::slice::from_ref(&key));
    let mut head = Header::new(Algorithm::HS256);
    head.kid = Some(key.kid.clone());
    for secret in [key.public.to_vec(), URL_SAFE_NO_PAD.encode(key.public).into_bytes()] {
        let forged =
            jsonwebtoken::encode(&head, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(tokens.verify(&forged, at(NOW)), Err(TokenError::WrongAlgorithm));
        // The same signature under a head that claims the right algorithm.
        let signature = forged.rsplit('.').next().unwrap();
        let relabelled =
            format!("{}.{}.{signature}", part(&super::tests::head(&key.kid)), part(&claims()));
        assert_eq!(tokens.verify(&relabelled, at(NOW)), Err(TokenError::BadSignature));
    }
}

#[test]
fn edits_cuts_and_foreign_keys_are_refused() {
    let key = key();
    let tokens = tokens(std::slice::from_ref(&key));
    let token = tokens.issue(one(), at(NOW)).unwrap();
    for at_byte in 0..token.len() {
        let other = if token.as_bytes()[at_byte] == b'A' { "B" } else { "A" };
        let edited = [&token[..at_byte], other, &token[at_byte + 1..]].concat();
        assert!(tokens.verify(&edited, at(NOW)).is_err(), "{edited}");
        assert!(tokens.verify(&token[..at_byte], at(NOW)).is_err());
    }
    let mut impostor = SigningKey::generate(1).unwrap();
    impostor.kid.clone_from(&key.kid);
    let forged = signed(&impostor, &part(&head(&key.kid)), &part(&claims()));
    assert_eq!(tokens.verify(&forged, at(NOW)), Err(TokenError::BadSignature));
    for (junk, reason) in [
        ("", TokenError::Missing),
        ("..", TokenError::Malformed),
        ("a.b.c.d", TokenError::Malformed),
        (&format!("{token}.x"), TokenError::Malformed),
        (&format!(" {token}"), TokenError::Malformed),
        (&format!("{token}="), TokenError::Malformed),
        (&"A".repeat(MAX_TOKEN + 1), TokenError::TooLong),
    ] {
        assert_eq!(tokens.verify(junk, at(NOW)), Err(reason), "{junk}");
    }
}

#[test]
fn every_claim_is_required_in_its_type() {
    let key = key();
    let tokens = tokens(std::slice::from_ref(&key));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        signed(&key, &part(&head(&key.kid)), &part(&claims))
    };
    for name in ["iss", "aud", "sub", "sid", "typ", "roles", "iat", "nbf", "exp", "jti"] {
        let missing = with(&|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(tokens.verify(&missing, at(NOW)), Err(TokenError::Malformed), "{name}");
        let null = with(&|claims| claims[name] = Value::Null);
        assert_eq!(tokens.verify(&null, at(NOW)), Err(TokenError::Malformed), "{name}");
    }
    for (name, value, reason) in [
        ("exp", json!((NOW + LIFE).to_string()), TokenError::Malformed),
        ("exp", json!(1e30), TokenError::Malformed),
        ("exp", json!(-1), TokenError::Malformed),
        ("exp", json!(NOW - 10), TokenError::Expired),
        ("nbf", json!(NOW.to_string()), TokenError::Malformed),
        ("nbf", json!(NOW + 60), TokenError::NotYetValid),
        ("iat", json!("now"), TokenError::Malformed),
        ("iss", json!("elsewhere"), TokenError::WrongIssuer),
        ("iss", json!(["clinic"]), TokenError::Malformed),
        ("aud", json!("other"), TokenError::WrongAudience),
        ("aud", json!(["api"]), TokenError::Malformed),
        ("sub", json!("root"), TokenError::Malformed),
        ("sid", json!(7), TokenError::Malformed),
        ("roles", json!("superuser"), TokenError::Malformed),
        ("typ", json!("refresh"), TokenError::WrongType),
    ] {
        let token = with(&|claims| claims[name] = value.clone());
        assert_eq!(tokens.verify(&token, at(NOW)), Err(reason), "{name}: {value}");
    }
    let text = claims().to_string();
    let doubled = text.replacen('{', r#"{"sub":"00000000-0000-0000-0000-000000000009","#, 1);
    let token = signed(&key, &part(&head(&key.kid)), &URL_SAFE_NO_PAD.encode(doubled));
    assert_eq!(tokens.verify(&token, at(NOW)), Err(TokenError::Malformed));
}

#[test]
fn a_remembered_token_still_expires() {
    let key = key();
    let tokens = tokens(&[key]);
    let token = tokens.issue(one(), at(NOW)).unwrap();
    let first = tokens.verify(&token, at(NOW + LIFE - 10)).unwrap();
    let again = tokens.verify(&token, at(NOW + LIFE - 9)).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(tokens.verify(&token, at(NOW + LIFE + LEEWAY)), Err(TokenError::Expired));
    assert_eq!(tokens.verify(&token, at(NOW - LIFE)), Err(TokenError::NotYetValid));
}

#[test]
fn long_role_lists_are_not_issued() {
    let tokens = tokens(&[key()]);
    let roles = vec!["doctor".to_owned(); 1_000];
    assert_eq!(tokens.issue(NewToken { roles, ..one() }, at(NOW)), Err(TokenError::TooLong));
}

#[test]
fn the_key_set_is_public_and_complete() {
    let keys = [key(), SigningKey::generate(2).unwrap()];
    let jwks = tokens(&keys).jwks();
    let listed = jwks["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    for (listed, key) in listed.iter().zip(&keys) {
        assert_eq!(listed["kid"], json!(key.kid));
        assert_eq!(listed["x"], json!(URL_SAFE_NO_PAD.encode(key.public)));
        assert_eq!((&listed["kty"], &listed["crv"]), (&json!("OKP"), &json!("Ed25519")));
        assert!(listed.get("d").is_none());
    }
}

#[test]
fn keys_are_replaced_while_tokens_live() {
    let old = key();
    let mut new = SigningKey::generate(2).unwrap();
    new.made_at = NOW;
    let tokens = tokens(std::slice::from_ref(&old));
    let token = tokens.issue(one(), at(NOW)).unwrap();
    tokens.verify(&token, at(NOW)).unwrap();
    assert_eq!(tokens.replace_keys(std::slice::from_ref(&old)), Ok(false));
    assert_eq!(tokens.replace_keys(&[]), Err(TokenError::CannotSign));

    assert_eq!(tokens.replace_keys(&[old.clone(), new.clone()]), Ok(true));
    assert_eq!(tokens.jwks()["keys"].as_array().unwrap().len(), 2);
    tokens.verify(&token, at(NOW)).unwrap();
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let ripe = new.ripe_at();
    assert_eq!(kid(&tokens.issue(one(), at(ripe - 1)).unwrap()), old.kid);
    let newer = tokens.issue(one(), at(ripe)).unwrap();
    assert_eq!(kid(&newer), new.kid);

    // A key that goes takes with it what was verified with it a moment ago.
    assert_eq!(tokens.replace_keys(&[new]), Ok(true));
    assert_eq!(tokens.verify(&token, at(NOW)), Err(TokenError::UnknownKey));
    tokens.verify(&newer, at(ripe)).unwrap();
}
