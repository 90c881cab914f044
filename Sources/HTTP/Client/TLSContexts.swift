import LinuxSystem
import NIOPosix
import NIOSSL
import Synchronization

/// The TLS contexts of each kind of server, made once: reading the system's authorities takes tens of milliseconds.
final class TLSContexts: Sendable {
  private struct Key: Hashable {
    var settings: ClientTLS
    var http2: HTTPClientConfiguration.HTTP2
  }

  private struct State {
    var contexts: [Key: NIOSSLContext] = [:]
    /// How often all were forgotten: what was read before does not count after.
    var generation = 0
  }

  private let state = Mutex(State())
  private static let countMax = 256
  /// Of a file with certificates or a key. In bytes.
  private static let fileMax = 4 << 20

  /// Forgets all, so that renewed certificate files are read again.
  func reset() { state.withLock { $0 = State(generation: $0.generation + 1) } }

  /// On a thread that may block, when it has to be made.
  func context(_ settings: ClientTLS, http2: HTTPClientConfiguration.HTTP2) async throws(HTTPClientError)
    -> NIOSSLContext
  {
    let key = Key(settings: settings, http2: http2)
    let (known, generation) = state.withLock { ($0.contexts[key], $0.generation) }
    if let known { return known }
    let made: Result<NIOSSLContext, HTTPClientError>
    do {
      made = try await NIOThreadPool.singleton.runIfActive {
        Result { () throws(HTTPClientError) in try Self.make(key) }
      }
    } catch {
      throw .cancelled
    }
    let context = try made.get()
    keep(context, key, generation)
    return context
  }

  /// Makes the context on the caller's thread.
  func prepare(_ settings: ClientTLS, http2: HTTPClientConfiguration.HTTP2) throws(HTTPClientError) {
    let key = Key(settings: settings, http2: http2)
    let generation = state.withLock { $0.generation }
    keep(try Self.make(key), key, generation)
  }

  private func keep(_ context: NIOSSLContext, _ key: Key, _ generation: Int) {
    state.withLock { state in
      guard state.generation == generation else { return }
      if state.contexts.count >= Self.countMax { state.contexts = [:] }
      state.contexts[key] = context
    }
  }

  private static func make(_ key: Key) throws(HTTPClientError) -> NIOSSLContext {
    let settings = key.settings
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    tls.applicationProtocols =
      switch key.http2 {
      case .never: ["http/1.1"]
      case .offered: ["h2", "http/1.1"]
      case .required: ["h2"]
      }
    if settings.isVerificationSkipped { tls.certificateVerification = .none }
    var authorities: [NIOSSLCertificate] = []
    for source in settings.authorities {
      let bytes = try bytes(source)
      do {
        authorities += try NIOSSLCertificate.fromPEMBytes(bytes)
      } catch {
        throw HTTPClientError(.invalidConfiguration, "\(source) has no certificates in PEM form", cause: error)
      }
    }
    if settings.trustsSystem {
      tls.additionalTrustRoots = [.certificates(authorities)]
    } else {
      tls.trustRoots = .certificates(authorities)
    }
    if let certificate = settings.certificate {
      guard let key = settings.key else {
        throw HTTPClientError(.invalidConfiguration, "the client certificate \(certificate) has no key")
      }
      let certificateBytes = try bytes(certificate)
      let keyBytes = try bytes(key)
      do {
        tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificateBytes).map { .certificate($0) }
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: keyBytes, format: .pem))
      } catch {
        throw HTTPClientError(
          .invalidConfiguration, "\(certificate) and \(key) are no certificate and key in PEM form", cause: error)
      }
    }
    do {
      return try NIOSSLContext(configuration: tls)
    } catch {
      throw HTTPClientError(.invalidConfiguration, "the certificates cannot be used: \(error)", cause: error)
    }
  }

  private static func bytes(_ source: ClientTLS.Source) throws(HTTPClientError) -> [UInt8] {
    switch source {
    case .text(let bytes): return bytes
    case .file(let path):
      do throws(SystemError) {
        return try DurableFile.read(path, limit: fileMax)
      } catch {
        throw HTTPClientError(.invalidConfiguration, error.description, cause: error)
      }
    }
  }
}
