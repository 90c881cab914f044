import Testing
import Wire

@testable import HTTP

@Suite struct ClientProxyTests {
  private func isProxied(_ exceptions: String, _ url: String) throws -> Bool {
    let configuration = try ProxyConfiguration(environment: [
      "HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "proxy:3128", "NO_PROXY": exceptions,
    ])
    return configuration.proxy(for: try #require(HTTPURL(url))) != nil
  }

  @Test func exceptions() throws {
    #expect(try isProxied("", "https://example.com/"))
    #expect(try !isProxied("*", "https://example.com/"))
    #expect(try !isProxied("example.com", "https://example.com/"))
    #expect(try !isProxied("a, example.com ,b", "https://sub.example.com/"))
    #expect(try isProxied("example.com", "https://notexample.com/"))
    #expect(try isProxied(".example.com", "https://example.com/"))
    #expect(try !isProxied("*.example.com", "https://sub.example.com/"))
    #expect(try !isProxied("example.com:8443", "https://example.com:8443/"))
    #expect(try isProxied("example.com:8443", "https://example.com/"))
    #expect(try !isProxied("10.0.0.0/8", "http://10.1.2.3/"))
    #expect(try isProxied("10.0.0.0/9", "http://10.128.2.3/"))
    #expect(try !isProxied("10.1.2.3", "http://10.1.2.3:5000/"))
    #expect(try !isProxied("fd00::/8", "http://[fd12::1]/"))
    #expect(try isProxied("0.0.0.0/33, 1/2, ::/0", "http://10.1.2.3/"))
  }

  @Test func loopbackNever() throws {
    for url in [
      "http://localhost/", "https://127.0.0.1:5000/", "http://127.9.9.9/", "http://[::1]/", "http://a.localhost/",
    ] {
      #expect(try !isProxied("", url), "\(url)")
    }
  }

  @Test func addresses() async throws {
    let address = try #require(ProxyAddress("http://us%40er:p%3Aw@[::1]:8080/"))
    #expect(address.host == "::1")
    #expect(address.port == 8080)
    #expect(address.authorization == "Basic " + Base64.encode(Array("us@er:p:w".utf8)))
    #expect(ProxyAddress("proxy")?.port == 80)
    for text in [
      "https://proxy:1", "socks5://proxy:1", "http://", "http://p:x", "http://a%0d%0ab:c@p:1", "http://p:1/path",
    ] {
      #expect(ProxyAddress(text) == nil, "\(text)")
    }
    let error = #expect(throws: HTTPClientError.self) {
      try ProxyConfiguration(environment: ["HTTPS_PROXY": "socks5://user:secret@proxy:1"])
    }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.message.contains("secret") == false)
    let lower = try ProxyConfiguration(environment: ["https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"])
    #expect(lower.https?.host == "low")
  }
}
