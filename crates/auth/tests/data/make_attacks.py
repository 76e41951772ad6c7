"""Writes attacks.jsonl: every row of the attack list as tokens, made by an implementation that shares nothing with the crate.

    python3 -m pip install cryptography && python3 make_attacks.py

The private keys are derived from fixed seeds or printed below; they guard nothing.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

NOW = 1_700_000_000
DAY = 86_400
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

RSA_2048 = """-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEAyqONCOMt/hce8yzFvyRtxWNwqFjSrnzMmzw93d3uL65LEe2M
CiHKgltbOeaP5xU+eELm4Yo9/PosS0hSFt47YhMLHqdZGQ7LhnJwSHgRWVJHwa5+
fUZIcRAIcAvMC3uPNU4cdiHwJcop8M6X5aAOnGy1BQTuidZVdvzv8ol2EUaxQ2Xo
wddzSo0THs9JcU2047pYlDGgQ7i4Z9kZuf1ksRxPi/4jq2pne43OqV1XePNEcsL4
aNd0575B/o26aKH8jljrhTG2sbWsiY0Hw0ReFdQiMHgL/zIR52lzPlQScoRkRTcU
gs7uCA/+DnTFr9lrTN0K7isq4QRBVbb7B/U1hQIDAQABAoIBACog0Hxthq1RrzyN
LVtsvmmQH+bP+JUQGxWW86HBtvgwuyiyAzBEEC8DwTaLaZV4RDGKbyeqrvJ+LGFG
WtKoRx4/qUspLYvZGJUOC6v1Ul4IjiSFG4T97Kec1rQ8r6IfgQlrAN3KdnvUyN1o
hgnWOdNpgkTV3qXHaqM/OL9qtqImeoUDip2tjXVjyoluRt/FGcPr2/yWiQ15Tofz
mPdYiY9ZRts0u6g+Qa9kPluv4QYZfWvWvmxpVt606TJijXjB0XNm/0ZoXrgJIiAJ
WD068sloblpFDYUC5OYbrU63eY2MTZPGl74xu6hXYwga/tzFfmEIiQKeDqBceiHG
eWJMWs0CgYEA7GGgn/GWpGiQ+ZPGY5DmuIBVUpArtzL9Gova5QxRgaNTyooZIEny
gaXCKKg4tOAqAwBCCH+F5twWobJGPhdBuOplBO49cN9VC0OCij8AO6QpDqmcdP8+
rI/XHIVSD7Syu6sT4E/iCxznsdhom6XRZ5udMFDQJdT6lUqihk9lK6MCgYEA23UA
Acl3mCH5sjfg0LgjURHgUY7Ou+Cuw87p1w3OJBp82jmmNEUnq47svZYA+qR2l9U3
yWQb7QEUqRXtafSIwCaj+nrHAfeVGsdgJOWgjqly3Taj0/zXwkqKQG553FFL5b1w
V30YZ4x1xsf/+IQKUpijMMcyhl0hDhkpBuKBLLcCgYEAhEYJPRdSZcPBxHcl39dY
1Euz8xSL8eMNcQprvhpLjdCYddEbSE847cWUxW2E9eoueClvyhOaGVp1K5x35Azd
kR1Q1BaAuSWwEDKB3NxuQ/GTrAnLbEjciHGhPOt5xSInlg6ge7gX1IIjQQjJWLfM
Wz7gEgZWw6TPaDUwhxnskiMCgYA1lLZguVDCyyDM24m/TAYLaCLtpsFg67Wfxyge
wpcfB3yOR18GChBqeaXhj/tDNt5hqcRKHnAXCJmDwv/JS9QLniORJ2LpXwp/lEgs
Ggh+bG7IBewv+N6w6EQjARYtrYerWvpP0hIgThH/a5takNp4Wh4V7byvQ5Orfoce
0DSbtwKBgGorg5AfhPOvVnMUv5NVw6nSp/xQ1ENctLuHkdGqU2bKssa5M4vh6nt8
tnPDjPCH+ybPB/Vz/yLQF5F+ciytWuB9GOh40NSbVCmOw3lsDibbpxpn5AUyE9m4
bX8kJQFhseWVS0iLct/fsQ7dq6zQcDWOa8wQFlkBq3ipaevw0hzg
-----END RSA PRIVATE KEY-----"""
RSA_1024 = """-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQCuEsvwm57YqA9kf9/FKFBzfO3JqJk7ZmGpnFgevC1rkOREzxcR
iS7Svpy8IjOi8wBNnQBJax1m+ufwaNap8fQX4v2XSd0dcCj2QIgbG463QXfhOD7U
2alVKqf7ZOMbW9Atc7Y1IgNsU0xUOSSINV5MUy5faXFuB91Bq4agF7nVpQIDAQAB
AoGAfhwCAatMdhuzIxT9EYG2XySXxKvPb1gp0s4AjSu5IB+VMEBzrvGaqXUMacPB
cwDnLFNc3NOsNmn51JKvSemO8vlJHXxPJjNXaF/MRMEO2X0mn54ocJqhQmKsWMvi
X7zsKqb/FiSA1eaYDBcdm9Ti+EtrT3E4bmKlTBbvlLcZ6SECQQDWST96ubE182W+
UCJI7DnTQla3Uw10fg3n8pLsfX/5TukRiQkTsqy9LilK6RmMkzwE2uvnH2DFqkV7
LJz0LsiJAkEAz/WV8U78eRzdrQKmHueZj1CF6/RXqiy+r2jwL//gHPo69+unpnlI
PZ8e/f0hL7x+cX5qDeUS3Z8EjkeQLkZlPQJBAJ3qow5lVFRHCB7lXS7Sb5bhl5hI
a20DDGp32JDRuALZhWc3zummTiiooSOkfwCa7KtDToAoHp/s6IFqkkxdQckCQA9d
S6i6dzjTgyVHLtLVtai7AEoAkYGHMMdw7138f6hkbHrotEg+abHz0axeSVdni8gC
2P8Rz6UEHKgObX6dwNkCQQCUsSjaHva5Bg/4gpmG5CxI7oYKDh/V3ZtmmzQwLIIW
pd3Qki33J69xZFLR1F1sFsLJ5ImOWXYmWc1DgPuPPc1E
-----END RSA PRIVATE KEY-----"""


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return value.to_bytes(length or (value.bit_length() + 7) // 8, "big")


ed = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"portway ed25519").digest())
ed_other = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"somebody else").digest())
p256 = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"portway p-256").digest(), "big"), ec.SECP256R1())
rsa_key = serialization.load_pem_private_key(RSA_2048.encode(), None)
rsa_small = serialization.load_pem_private_key(RSA_1024.encode(), None)


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ed_jwk(key, **more):
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw(key)), **more}


def p256_jwk(**more):
    point = p256.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64(number(point.x, 32)), "y": b64(number(point.y, 32)), **more}


def rsa_jwk(key=rsa_key, **more):
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "n": b64(number(public.n)), "e": b64(number(public.e)), **more}


JWKS = {"keys": [ed_jwk(ed, kid="ed", alg="EdDSA", use="sig"), p256_jwk(kid="ec", alg="ES256", use="sig"),
                 rsa_jwk(kid="rsa", alg="RS256", use="sig")]}
POLICY = {"issuer": "https://issuer.example", "audience": "scoring", "algorithms": ["EdDSA", "ES256", "RS256"],
          "leeway_s": 60, "max_token_bytes": 8192, "max_life_s": DAY, "required": ["exp", "iat"],
          "typ_allowed": ["JWT", "at+jwt"]}
CLAIMS = {"iss": "https://issuer.example", "aud": "scoring", "sub": "alice", "iat": NOW - 60, "nbf": NOW - 60,
          "exp": NOW + 3600, "jti": "1"}

DROP = object()


def claims(**changes):
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not DROP}


def text(value):
    return value if isinstance(value, (str, bytes)) else json.dumps(value, separators=(",", ":"))


def es256(message):
    r, s = utils.decode_dss_signature(p256.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return number(r, 32) + number(s, 32)


def rs256(message, key=rsa_key):
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def ps256(message):
    return rsa_key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def hs256(secret):
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


def token(header, body=None, sign=ed.sign):
    signed = f"{b64(text(header))}.{b64(text(CLAIMS if body is None else body))}"
    return f"{signed}.{b64(sign(signed.encode()))}"


def head(**more):
    return {"alg": "EdDSA", "kid": "ed", **more}


GOOD = token(head())
H, P, S = GOOD.split(".")
cases = []


def case(id, token, expect, **more):
    cases.append({"id": id, "token": token, "expect": expect, **more})


# --- what must pass
case("good/eddsa", GOOD, "ok")
case("good/es256", token({"alg": "ES256", "kid": "ec"}, sign=es256), "ok")
case("good/rs256", token({"alg": "RS256", "kid": "rsa"}, sign=rs256), "ok")
case("good/no kid, one key fits", token({"alg": "ES256"}, sign=es256), "ok")
for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"]:
    case(f"good/typ {typ}", token(head(typ=typ)), "ok")
case("good/unknown member", token(head(hint={"a": [1, 2]})), "ok")
case("good/jwk of somebody else is not looked at", token(head(jwk=ed_jwk(ed_other), jku="http://127.0.0.1:1/")), "ok")
case("good/aud list", token(head(), claims(aud=["else", "scoring"])), "ok")
case("good/fraction", token(head(), claims(exp=NOW + 0.5, iat=NOW - 0.5, nbf=NOW - 9.25)), "ok")
case("good/exponent", token(head(), text(CLAIMS).replace(f'"exp":{NOW + 3600}', '"exp":17.000036e8')), "ok")
case("good/white space", token('{ "alg" : "EdDSA",\r\n "kid":"ed" }', json.dumps(CLAIMS, indent=2)), "ok")
case("good/escapes", token(r'{"alg":"\u0045dDSA","kid":"\u0065d"}'), "ok")
case("good/no nbf, no sub", token(head(), claims(nbf=DROP, sub=DROP, jti=DROP)), "ok")
case("good/last second of leeway", token(head(), claims(exp=NOW - 59, iat=NOW - 999, nbf=DROP)), "ok")
case("good/first second of leeway", token(head(), claims(nbf=NOW + 60, iat=NOW + 60)), "ok")
case("good/a whole day", token(head(), claims(iat=NOW, exp=NOW + DAY)), "ok")
case("good/nbf zero", token(head(), claims(nbf=0)), "ok")
SKIPPED = [{"kty": "AKP", "kid": "new"}, ed_jwk(ed_other, kid="ed", use="enc"), {"kty": "EC", "crv": "P-999"}, 7,
           ed_jwk(ed_other, kid="x", alg="RSA-OAEP"), {"kty": "RSA", "kid": "ed", "n": "!", "e": "AQAB"}]
case("good/unusable keys are skipped", GOOD, "ok", jwks={"keys": SKIPPED + JWKS["keys"]})
case("good/private members are ignored", GOOD, "ok", jwks={"keys": [ed_jwk(ed, kid="ed", d="AAAA")]})
case("good/the same key twice", GOOD, "ok", jwks={"keys": [ed_jwk(ed, kid="ed"), ed_jwk(ed, kid="ed", use="sig")]})
case("good/the same kid for another kind of key", GOOD, "ok", jwks={"keys": [p256_jwk(kid="ed"), ed_jwk(ed, kid="ed")]})
case("good/key without kid", GOOD, "ok", jwks={"keys": [ed_jwk(ed)]})
case("good/key_ops", GOOD, "ok", jwks={"keys": [ed_jwk(ed, kid="ed", key_ops=["verify"])]})
case("good/ps256 if asked for", token({"alg": "PS256", "kid": "r"}, sign=ps256), "ok",
     jwks={"keys": [rsa_jwk(kid="r")]}, policy={**POLICY, "algorithms": ["PS256"]})

# --- alg
for spelling in ["none", "None", "NONE", "nOnE", "none "]:
    case(f"alg/{spelling!r}", f"{b64(text(head(alg=spelling)))}.{P}.", "algorithm")
    case(f"alg/{spelling!r} with signature", token(head(alg=spelling)), "algorithm")
for bad in [None, ["EdDSA"], {}, 1, "", "eddsa", "EdDSA\0", "ES256K", "HS256 "]:
    case(f"alg/{bad!r}", token(head(alg=bad)), "algorithm")
case("alg/missing", token({"kid": "ed"}), "algorithm")
case("alg/not accepted", token(head()), "algorithm", policy={**POLICY, "algorithms": ["ES256"]})
pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
der = rsa_key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
point = p256.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
EVERYTHING = {**POLICY, "algorithms": ["EdDSA", "ES256", "RS256", "HS256", "PS256"]}
for name, kid, secret in [("pem", "rsa", pem), ("pem stripped", "rsa", pem.strip()), ("der", "rsa", der),
                          ("ec point", "ec", point), ("ed25519 key", "ed", raw(ed)), ("jwk", "rsa", text(rsa_jwk()).encode()),
                          ("empty secret", "ed", b""), ("modulus", "rsa", number(rsa_key.public_key().public_numbers().n))]:
    case(f"confusion/hs256 over {name}", token({"alg": "HS256", "kid": kid}, sign=hs256(secret)), "algorithm")
    case(f"confusion/hs256 over {name}, hs256 accepted", token({"alg": "HS256", "kid": kid}, sign=hs256(secret)),
         "algorithm", policy=EVERYTHING)
    case(f"confusion/hs256 over {name}, no kid", token({"alg": "HS256"}, sign=hs256(secret)), "unknown_key_id",
         policy=EVERYTHING)
case("confusion/ps256 with a key for rs256", token({"alg": "PS256", "kid": "rsa"}, sign=ps256), "algorithm", policy=EVERYTHING)
case("confusion/rs256 says ps256", token({"alg": "RS256", "kid": "rsa"}, sign=ps256), "signature")
case("confusion/es256 with the ed25519 key", token({"alg": "ES256", "kid": "ed"}, sign=es256), "algorithm")
case("confusion/eddsa with the p-256 key", token({"alg": "EdDSA", "kid": "ec"}), "algorithm")

# --- keys
def with_key(jwk):
    return {"jwks": {"keys": [jwk]}}


case("key/use enc", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", use="enc")))
case("key/use not text", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", use=["sig"])))
case("key/key_ops sign", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", key_ops=["sign"])))
case("key/key_ops empty", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", key_ops=[])))
case("key/key_ops text", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", key_ops="verify")))
case("key/other alg", GOOD, "key_set", **with_key(ed_jwk(ed, kid="ed", alg="ES256")))
case("key/x25519", GOOD, "key_set", **with_key({**ed_jwk(ed, kid="ed"), "crv": "X25519"}))
case("key/padded", GOOD, "key_set", **with_key({**ed_jwk(ed, kid="ed"), "x": b64(raw(ed)) + "="}))
case("key/empty set", GOOD, "key_set", jwks={"keys": []})
case("key/no set", GOOD, "key_set", jwks={"keys": {}})
MIXED = {"keys": [*JWKS["keys"], {"kty": "oct", "k": b64(b"x" * 32), "kid": "oct"}]}
case("good/a secret among public keys is left out", GOOD, "ok", jwks=MIXED)
case("key/secret among public keys", token({"alg": "HS256", "kid": "oct"}, sign=hs256(b"x" * 32)), "unknown_key_id", jwks=MIXED,
     policy=EVERYTHING)
case("key/short secret", token({"alg": "HS256"}, sign=hs256(b"x" * 31)), "signature", policy=EVERYTHING,
     jwks={"keys": [{"kty": "oct", "k": b64(b"x" * 31)}]})
case("key/kid twice", GOOD, "ambiguous_key", jwks={"keys": [ed_jwk(ed, kid="ed"), ed_jwk(ed_other, kid="ed")]})
case("key/no kid, two fit", token({"alg": "EdDSA"}), "ambiguous_key", jwks={"keys": [ed_jwk(ed, kid="a"), ed_jwk(ed_other, kid="b")]})
case("key/rsa 1024", token({"alg": "RS256", "kid": "s"}, sign=lambda m: rs256(m, rsa_small)), "key_set", **with_key(rsa_jwk(rsa_small, kid="s")))
forged_one = lambda m: b"\0\1" + b"\xff" * 202 + b"\0" + bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(m).digest()
case("key/exponent 1", token({"alg": "RS256", "kid": "r"}, sign=forged_one), "key_set", **with_key({**rsa_jwk(kid="r"), "e": "AQ"}))
case("key/exponent even", token({"alg": "RS256", "kid": "r"}, sign=rs256), "key_set", **with_key({**rsa_jwk(kid="r"), "e": "Ag"}))
roca_n = "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r11CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQWOOzl1S9OhwAfSiiOwz6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtKUsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE"
case("key/roca", token({"alg": "RS256", "kid": "r"}, sign=rs256), "key_set", **with_key({"kty": "RSA", "kid": "r", "n": roca_n, "e": "AQAB"}))

# Points of small order, in every spelling: with R and S of nothing, ring alone takes any message for the first two.
p = 2**255 - 19
for name, y in [("identity", 1), ("zero", 0), ("p - 1", p - 1), ("p", p), ("p + 1", p + 1),
                ("order eight", 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826),
                ("order eight again", 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7)]:
    for sign in [0, 1]:
        x = (y | sign << 255).to_bytes(32, "little")
        case(f"key/ed25519 {name}, sign {sign}", token(head(), sign=lambda m: number(1, 32)[::-1] + bytes(32)), "key_set",
             **with_key({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(x)}))

# --- kid
for bad in ["../../../../dev/null", "' OR 1=1 --", "ed\0", "\0", "", "ED", "ed ", "http://127.0.0.1/k"]:
    case(f"kid/{bad!r}", token(head(kid=bad)), "unknown_key_id")
for bad in [1, None, ["ed"], {"kid": "ed"}]:
    case(f"kid/{bad!r}", token(head(kid=bad)), "key_id")
case("kid/3 kB", token(head(kid="e" * 3000)), "key_id")

# --- keys in the header are never followed
for name, value in [("jwk", ed_jwk(ed_other, kid="ed")), ("jku", "http://127.0.0.1:1/jwks"), ("x5u", "http://127.0.0.1:1/c"), ("x5c", ["MIIB"])]:
    case(f"header key/{name}", token(head(**{name: value}), sign=ed_other.sign), "signature")
    case(f"header key/{name}, no kid", token({"alg": "EdDSA", name: value}, sign=ed_other.sign), "signature")

# --- critical extensions, nesting
for crit in [["x"], [], "x", ["exp"], ["alg"], ["b64"], None, {}]:
    case(f"crit/{crit!r}", token(head(crit=crit, b64=True, x=1, exp=NOW + 9)), "critical")
case("crit/unencoded payload", token(head(b64=False)), "critical")
for typ in ["secevent+jwt", "logout+jwt", "dpop+jwt", "JOSE", "text/jwt", "application/application/jwt", "", "at+jwt ", "JW\u017f"]:
    case(f"typ/{typ!r}", token(head(typ=typ)), "type")
for typ in [None, 1, ["JWT"]]:
    case(f"typ/{typ!r}", token(head(typ=typ)), "type")
case("typ/absent where only at+jwt is taken", GOOD, "type", policy={**POLICY, "typ_allowed": ["at+jwt"]})
case("typ/JWT where only at+jwt is taken", token(head(typ="JWT")), "type", policy={**POLICY, "typ_allowed": ["at+jwt"]})
for cty in ["JWT", "jwt", "application/jwt", "at+jwt", 1]:
    case(f"cty/{cty!r}", token(head(cty=cty)), "nested")
case("zip/DEF", token(head(zip="DEF")), "nested")
case("enc/A256GCM", token(head(enc="A256GCM")), "nested")

# --- JSON
case("json/header name twice", token('{"alg":"none","kid":"ed","alg":"EdDSA"}'), "not_json")
case("json/header name twice by escape", token(r'{"alg":"EdDSA","kid":"ed","\u0061lg":"EdDSA"}'), "not_json")
case("json/claim twice", token(head(), text(CLAIMS)[:-1] + f',"exp":{NOW + 9999}}}'), "not_json")
case("json/claim twice by escape", token(head(), text(CLAIMS)[:-1] + r',"\u0065xp":9999999999}'), "not_json")
case("json/nested name twice", token(head(), text(CLAIMS)[:-1] + ',"x":{"a":1,"a":2}}'), "not_json")
for name, body in [("array", "[]"), ("text", '"x"'), ("empty", ""), ("null", "null"), ("trailing", text(CLAIMS) + "{}"),
                   ("byte-order mark", "\ufeff" + text(CLAIMS)), ("comment", "/**/" + text(CLAIMS)), ("single quotes", "{'exp':1}"),
                   ("lone surrogate", text(CLAIMS)[:-1] + r',"x":"\ud800"}'), ("NaN", text(CLAIMS)[:-1] + ',"x":NaN}'),
                   ("trailing comma", text(CLAIMS)[:-1] + ",}"), ("invalid utf-8", text(CLAIMS).encode()[:-1] + b',"x":"\xff"}'),
                   ("deep", text(CLAIMS)[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}"),
                   ("deep enough", text(CLAIMS)[:-1] + ',"x":' + "[" * 40 + "]" * 40 + "}")]:
    case(f"json/claims {name}", token(head(), body), "not_json", **({"policy": {**POLICY, "max_token_bytes": 20000}} if name == "deep" else {}))
case("json/header array", token("[]"), "not_json")
case("json/header deep", token('{"alg":"EdDSA","x":' + "[" * 40 + "]" * 40 + "}"), "not_json")

# --- compact form
for name, bad in [("empty", ""), ("one part", H), ("two parts", f"{H}.{P}"), ("four parts", f"{GOOD}."), ("five parts", f"{GOOD}.e30.e30"),
                  ("leading dot", f".{GOOD}"), ("json form", json.dumps({"protected": H, "payload": P, "signature": S})),
                  ("padding", f"{GOOD}=="), ("padded header", f"{H}=.{P}.{S}"), ("space", f"{GOOD} "), ("space before", f" {GOOD}"),
                  ("newline", f"{GOOD}\n"), ("inner newline", f"{H}.{P[:9]}\n{P[9:]}.{S}"), ("percent", GOOD.replace(".", "%2E")),
                  ("nul", f"{GOOD}\0"), ("spare bits", GOOD[:-1] + chr(ord(GOOD[-1]) + 1)), ("fullwidth dot", GOOD.replace(".", "\uff0e")),
                  ("bearer", f"Bearer {GOOD}")]:
    case(f"form/{name}", bad, "not_compact")
standard = token(head(x="???>>>~~~"), claims(x="???>>>~~~"))
assert "-" in standard or "_" in standard
case("form/standard alphabet", standard.replace("-", "+").replace("_", "/"), "not_compact")
case("form/9 kB", token(head(), claims(x="x" * 9000)), "too_long")

# --- signatures
signature = ed.sign(f"{H}.{P}".encode())
def ed_with(sig): return f"{H}.{P}.{b64(sig)}"
stretched = signature[:32] + number(int.from_bytes(signature[32:], "little") + ED25519_ORDER, 32)[::-1]
for name, bad in [("missing", b""), ("63 bytes", signature[:-1]), ("65 bytes", signature + b"\0"), ("zero", bytes(64)), ("S plus L", stretched),
                  ("flipped bit", bytes([signature[0] ^ 1]) + signature[1:]), ("of another key", ed_other.sign(f"{H}.{P}".encode()))]:
    case(f"signature/eddsa {name}", ed_with(bad), "signature")
case("signature/other header", f"{b64(text(head(typ='JWT')))}.{P}.{S}", "signature")
case("signature/other claims", f"{H}.{b64(text(claims(sub='mallory')))}.{S}", "signature")
ec_head = {"alg": "ES256", "kid": "ec"}
zero, order = number(0, 32), number(P256_ORDER, 32)
for name, bad in [("r = s = 0", zero + zero), ("r = s = n", order + order), ("r = 0", zero + number(1, 32)), ("r = n", order + number(1, 32))]:
    case(f"signature/es256 {name}", token(ec_head, sign=lambda m, bad=bad: bad), "signature")
case("signature/es256 der", token(ec_head, sign=lambda m: p256.sign(m, ec.ECDSA(hashes.SHA256()))), "signature")
case("signature/es256 63 bytes", token(ec_head, sign=lambda m: es256(m)[:-1]), "signature")
case("signature/es256 65 bytes", token(ec_head, sign=lambda m: es256(m) + b"\0"), "signature")
case("signature/rs256 of sha-512", token({"alg": "RS256", "kid": "rsa"}, sign=lambda m: rsa_key.sign(m, padding.PKCS1v15(), hashes.SHA512())), "signature")
case("signature/rs256 leading zero", token({"alg": "RS256", "kid": "rsa"}, sign=lambda m: b"\0" + rs256(m)), "signature")

# --- times
def raw_time(name, literal):
    return text(CLAIMS).replace(f'"{name}":{CLAIMS[name]}', f'"{name}":{literal}')


case("time/exp missing", token(head(), claims(exp=DROP)), "missing_claim")
case("time/iat missing", token(head(), claims(iat=DROP)), "missing_claim")
for name in ["exp", "nbf", "iat"]:
    for literal in [f'"{CLAIMS[name]}"', "true", "false", "null", "[]", "{}", "-1", "-0.5", str(2**63), str(2**64), "1e18", "253402300800"]:
        case(f"time/{name} {literal}", token(head(), raw_time(name, literal)), "claim")
    for literal in ["1e400", "-1e400", "01", "0x10"]:
        case(f"time/{name} {literal}", token(head(), raw_time(name, literal)), "not_json")
case("time/exp zero", token(head(), claims(exp=0)), "expired")
case("time/expired an hour ago", token(head(), claims(exp=NOW - 3600, iat=NOW - 7200, nbf=NOW - 7200)), "expired")
case("time/leeway is over", token(head(), claims(exp=NOW - 60, iat=NOW - 999, nbf=NOW - 999)), "expired")
case("time/leeway is over by a fraction", token(head(), claims(exp=NOW - 60.5, iat=NOW - 999, nbf=NOW - 999)), "expired")
case("time/nbf ahead", token(head(), claims(nbf=NOW + 61)), "not_yet_valid")
case("time/iat ahead", token(head(), claims(iat=NOW + 61)), "not_yet_valid")
case("time/iat ahead by a fraction", token(head(), claims(iat=NOW + 60.5)), "not_yet_valid")
case("time/more than a day", token(head(), claims(iat=NOW, exp=NOW + DAY + 1)), "lives_too_long")
case("time/more than a day, old", token(head(), claims(iat=NOW - DAY, exp=NOW + 1)), "lives_too_long")
case("time/iat zero", token(head(), claims(iat=0)), "lives_too_long")
case("time/more than a day without iat", token(head(), claims(iat=DROP, exp=NOW + DAY + 1)), "lives_too_long", policy={**POLICY, "required": ["exp"]})
case("time/empty window", token(head(), claims(nbf=NOW + 30, exp=NOW + 30)), "expired")
case("time/window turned round", token(head(), claims(nbf=NOW + 40, exp=NOW + 20)), "expired")
case("time/issued after it expires", token(head(), claims(iat=NOW + 9, exp=NOW + 9)), "expired")

# --- issuer, audience, other registered claims
for bad in ["https://issuer.example/", "https://issuer.example.evil", "HTTPS://issuer.example", "http://issuer.example", "issuer.example", "", " https://issuer.example"]:
    case(f"iss/{bad!r}", token(head(), claims(iss=bad)), "issuer")
case("iss/missing", token(head(), claims(iss=DROP)), "issuer")
for bad in [["https://issuer.example"], None, 1, {}]:
    case(f"iss/{bad!r}", token(head(), claims(iss=bad)), "claim")
for bad in ["scor", "scoring2", "SCORING", "scoring ", "", [], ["else"], ["scor", "ing"]]:
    case(f"aud/{bad!r}", token(head(), claims(aud=bad)), "audience")
case("aud/missing", token(head(), claims(aud=DROP)), "audience")
for bad in [["scoring", 1], ["scoring", None], [["scoring"]], 1, None, {"scoring": 1}, True]:
    case(f"aud/{bad!r}", token(head(), claims(aud=bad)), "claim")
for name in ["sub", "jti"]:
    for bad in [1, None, ["alice"], {}]:
        case(f"{name}/{bad!r}", token(head(), claims(**{name: bad})), "claim")
case("required/sub missing", token(head(), claims(sub=DROP)), "missing_claim", policy={**POLICY, "required": ["sub"]})
case("required/null is missing", token(head(), claims(tenant=None)), "missing_claim", policy={**POLICY, "required": ["tenant"]})

assert len({c["id"] for c in cases}) == len(cases)
with open("attacks.jsonl", "w") as out:
    print(json.dumps({"defaults": {"now": NOW, "jwks": JWKS, "policy": POLICY}}), file=out)
    for c in cases:
        print(json.dumps(c), file=out)
print(len(cases), "cases")
