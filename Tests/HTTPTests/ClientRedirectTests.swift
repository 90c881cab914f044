import NIOHTTP1
import Testing

@testable import HTTP

@Suite struct ClientRedirectTests {
  private func redirect(
    _ status: Int, _ location: String?, _ method: HTTPMethod = .GET, from: String = "https://r.io/v2/a",
    plain: Set<String> = []
  ) throws -> Redirect {
    let request = HTTPClientRequest(
      method: method, url: try #require(HTTPURL(from)), headers: ["authorization": "secret", "range": "bytes=5-"])
    return Redirect(status: status, location: location, of: request) { plain.contains($0.host) }
  }

  @Test func keepsCredentialsAtTheSameOriginOnly() throws {
    for (location, isKept) in [
      ("/other", true), ("https://r.io:443/x", true), ("https://s3.r.io/x", false), ("https://r.io:8443/x", false),
      ("https://evil.io/v2/a", false),
    ] {
      guard case .follow(let next) = try redirect(307, location) else {
        Issue.record("\(location)")
        continue
      }
      #expect(next.headers.contains(name: "authorization") == isKept, "\(location)")
      #expect(next.headers.first(name: "range") == "bytes=5-")
    }
  }

  @Test func refusals() throws {
    for (status, location, method) in [
      (302, nil, .GET), (302, "ftp://x/", .GET), (302, "http://plain.io/", .GET), (302, "/x", .POST), (303, "/x", .PUT),
      (301, "http://127.0.0.1/", .GET),
    ] as [(Int, String?, HTTPMethod)] {
      guard case .refuse(let why) = try redirect(status, location, method) else {
        Issue.record("\(status) \(location ?? "") \(method)")
        continue
      }
      #expect(!why.contains("secret"))
    }
    guard case .none = try redirect(200, "/x"), case .none = try redirect(304, "/x") else {
      Issue.record("no redirects")
      return
    }
    guard case .follow = try redirect(308, "/x", .PATCH),
      case .follow = try redirect(302, "http://ok.io/", plain: ["ok.io"])
    else {
      Issue.record("these are fine")
      return
    }
  }
}
