import NIOHTTP1
import TestKit
import Testing
import Wire

@testable import Distribution

@Suite struct HeaderFieldTests {
  @Test func challengeOfATokenService() {
    let challenges = AuthChallenge.parse([
      #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
    ])
    #expect(
      challenges == [
        AuthChallenge(
          scheme: "bearer",
          parameters: [
            "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
            "scope": "repository:a/b:pull,push",
          ])
      ])
  }

  @Test func severalChallenges() {
    let one = AuthChallenge.parse([#"Negotiate, Basic realm="a, b", charset=UTF-8 , BEARER Realm = x"#])
    #expect(one.map(\.scheme) == ["negotiate", "basic", "bearer"])
    #expect(one[1].parameters == ["realm": "a, b", "charset": "UTF-8"])
    #expect(one[2].parameters == ["realm": "x"])
    #expect(AuthChallenge.parse(["NTLM abc==", "Basic"]).map(\.scheme) == ["ntlm", "basic"])
    #expect(AuthChallenge.parse([#"Basic realm="a\"b\\c""#])[0].parameters["realm"] == #"a"b\c"#)
  }

  @Test func brokenChallenges() {
    #expect(AuthChallenge.parse([#"Bearer realm="never ends"#]).map(\.parameters) == [[:]])
    #expect(AuthChallenge.parse(["", ",,,", "=", "\u{0}"]).isEmpty)
    #expect(AuthChallenge.parse([String(repeating: "a,", count: 5000)]).count == AuthChallenge.countMax)
  }

  @Test func dates() {
    #expect(HTTPDate.parse("Sun, 06 Nov 1994 08:49:37 GMT")?.rfc3339 == "1994-11-06T08:49:37Z")
    #expect(HTTPDate.parse("Sunday, 06-Nov-94 08:49:37 GMT") == nil)
    #expect(HTTPDate.parse("Sun, 31 Feb 1994 08:49:37 GMT") == nil)
  }

  @Test func retryAfter() {
    let now = Timestamp(seconds: 784_111_777)
    #expect(RequestContext.retryAfter(["retry-after": "120"], now: now) == .seconds(120))
    #expect(RequestContext.retryAfter(["retry-after": "Sun, 06 Nov 1994 08:50:37 GMT"], now: now) == .seconds(60))
    #expect(RequestContext.retryAfter(["retry-after": "Sun, 06 Nov 1993 08:50:37 GMT"], now: now) == .zero)
    #expect(RequestContext.retryAfter(["retry-after": "-3"], now: now) == nil)
    #expect(RequestContext.retryAfter(["retry-after": "9223372036854775807"], now: now) == .seconds(365 * 86_400))
  }

  @Test(arguments: UInt64(0)..<4) func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let samples = [
      #"Bearer realm="https://a/t",service="s",scope="repository:a:pull""#, "Basic realm=x", "Negotiate abc==", ",",
      "=",
      "\"", "\\",
      "Sun, 06 Nov 1994 08:49:37 GMT", "120",
    ]
    for _ in 0..<5000 {
      let text = random.text(from: samples)
      let challenges = AuthChallenge.parse([text, text])
      #expect(challenges.count <= AuthChallenge.countMax)
      for challenge in challenges { #expect(!challenge.scheme.isEmpty) }
      _ = HTTPDate.parse(text)
      #expect(RequestContext.registryError(Array(text.utf8)).text.utf8.count < 3000)
    }
  }

  @Test func registryErrors() {
    let body = #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not \u001b[31mhere"},{"code":"OTHER"}]}"#
    let (code, text) = RequestContext.registryError(Array(body.utf8))
    #expect(code == "MANIFEST_UNKNOWN")
    #expect(text == "MANIFEST_UNKNOWN: not [31mhere")
    #expect(RequestContext.registryError(Array("<html>".utf8)).code == nil)
    #expect(RequestContext.registryError(Array(#"{"errors":[]}"#.utf8)).text == "")
  }

  @Test func tokens() {
    func token(_ text: String) -> IssuedToken? { IssuedToken(Array(text.utf8)) }
    #expect(token(#"{"token":"a","expires_in":300}"#)?.lifetime == .seconds(300))
    #expect(token(#"{"token":"","access_token":"b"}"#)?.token == "b")
    #expect(token(#"{"token":"b","expires_in":-5}"#)?.lifetime == .seconds(60))
    #expect(token(#"{"token":"a\r\nX: y"}"#) == nil)
    #expect(token(#"{"token":7}"#) == nil)
    #expect(token("[]") == nil)
  }
}
