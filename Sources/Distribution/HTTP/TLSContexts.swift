import LinuxSystem
import NIOPosix
import NIOSSL
import Synchronization

/// The TLS settings of each kind of host, made once: reading the system's authorities takes tens of milliseconds.
final class TLSContexts: Sendable {
  private let contexts = Mutex<[RegistryHosts.TLS: NIOSSLContext]>([:])
  private static let countMax = 256

  /// Forgets all, so that renewed certificate files are read again.
  func reset() { contexts.withLock { $0 = [:] } }

  func context(_ settings: RegistryHosts.TLS) async throws(HTTPFailure) -> NIOSSLContext {
    if let known = contexts.withLock({ $0[settings] }) { return known }
    let made: Result<NIOSSLContext, HTTPFailure>
    do {
      made = try await NIOThreadPool.singleton.runIfActive {
        Result { () throws(HTTPFailure) in try Self.make(settings) }
      }
    } catch {
      throw .cancelled
    }
    let context = try made.get()
    contexts.withLock { contexts in
      if contexts.count >= Self.countMax { contexts = [:] }
      contexts[settings] = context
    }
    return context
  }

  private static func make(_ settings: RegistryHosts.TLS) throws(HTTPFailure) -> NIOSSLContext {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    tls.applicationProtocols = ["http/1.1"]
    if settings.isVerificationSkipped { tls.certificateVerification = .none }
    for path in settings.authorities {
      let bytes = try read(path)
      do {
        tls.additionalTrustRoots.append(.certificates(try NIOSSLCertificate.fromPEMBytes(bytes)))
      } catch {
        throw .certificates("\(path) has no certificates in PEM form")
      }
    }
    if let path = settings.clientCertificate {
      guard let keyPath = settings.clientKey else { throw .certificates("the client certificate \(path) has no key") }
      let certificate = try read(path)
      let key = try read(keyPath)
      do {
        tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificate).map { .certificate($0) }
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
      } catch {
        throw .certificates("\(path) and \(keyPath) are no certificate and key in PEM form")
      }
    }
    do {
      return try NIOSSLContext(configuration: tls)
    } catch {
      throw .certificates("the certificates cannot be used: \(error)")
    }
  }

  private static func read(_ path: String) throws(HTTPFailure) -> [UInt8] {
    do throws(SystemError) {
      return try DurableFile.read(path, limit: 4 << 20)
    } catch {
      throw .certificates(error.description)
    }
  }
}
