"""Writes `wycheproof.jsonl` out of the test vectors of Project Wycheproof: python3 make_wycheproof.py TESTVECTORS_V1

One line a key: its JWK, the algorithm, and the cases as [number, message, signature, valid], the two in base64url.
"""

import base64
import json
import pathlib
import sys

FILES = {
    "EdDSA": "ed25519_test",
    "ES256": "ecdsa_secp256r1_sha256_p1363_test",
    "ES384": "ecdsa_secp384r1_sha384_p1363_test",
    "RS256": "rsa_signature_2048_sha256_test",
    "RS384": "rsa_signature_2048_sha384_test",
    "RS512": "rsa_signature_2048_sha512_test",
    "PS256": "rsa_pss_2048_sha256_mgf1_32_test",
    "PS384": "rsa_pss_2048_sha384_mgf1_48_test",
    "PS512": "rsa_pss_4096_sha512_mgf1_64_test",
    "HS256": "hmac_sha256_test",
    "HS384": "hmac_sha384_test",
    "HS512": "hmac_sha512_test",
}


def encode(digits):
    return base64.urlsafe_b64encode(bytes.fromhex(digits)).rstrip(b"=").decode()


def jwk(group):
    key = group.get("publicKey", {})
    if "modulus" in key:
        return {"kty": "RSA", "n": encode(key["modulus"]), "e": encode(key["publicExponent"])}
    if "pk" in key:
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key["pk"])}
    point = key["uncompressed"][2:]
    x, y = point[: len(point) // 2], point[len(point) // 2 :]
    return {"kty": "EC", "crv": f"P-{key['keySize']}", "x": encode(x), "y": encode(y)}


def lines(algorithm, group):
    if algorithm.startswith("HS"):
        # A key each.
        for case in group["tests"]:
            row = [case["tcId"], encode(case["msg"]), encode(case["tag"]), case["result"]]
            yield {"kty": "oct", "k": encode(case["key"])}, [row]
    else:
        rows = [[case["tcId"], encode(case["msg"]), encode(case["sig"]), case["result"]] for case in group["tests"]]
        yield jwk(group), rows


folder = pathlib.Path(sys.argv[1])
with (pathlib.Path(__file__).parent / "wycheproof.jsonl").open("w") as out:
    source = "Project Wycheproof, testvectors_v1; Copyright Google LLC and the C2SP authors; Apache License 2.0"
    print(json.dumps({"source": source}), file=out)
    for algorithm, name in FILES.items():
        for group in json.loads((folder / f"{name}.json").read_text())["testGroups"]:
            for key, cases in lines(algorithm, group):
                line = {"algorithm": algorithm, "jwk": key, "cases": cases}
                print(json.dumps(line, separators=(",", ":")), file=out)
