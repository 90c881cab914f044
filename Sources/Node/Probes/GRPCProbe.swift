import HTTP
import NIOCore
import NIOHTTP1
import Protobuf
import RPC

/// Asks a container by gRPC's protocol for health checks (`grpc.health.v1.Health/Check`), on a connection of its own
/// (KEP-2727). TLS without verification, as with `HTTPProbe` (KEP-4939).
enum GRPCProbe {
  private static let method = RPCMethod(service: "grpc.health.v1.Health", name: "Check")
  /// An answer is a number.
  private static let messageMax = 64 << 10

  static func check(_ target: ProbeTarget.GRPC, timeout: Duration) async -> ProbeResult {
    let tls = target.isTLS ? ClientTLS(isVerificationSkipped: true) : nil
    let client = RPCClient(host: target.host, port: target.port, tls: tls, messageMax: messageMax)
    defer { client.close() }
    do throws(RPCError) {
      let answer = try await client.call(
        method, request(target.service), metadata: ["user-agent": target.userAgent], deadline: timeout)
      return result(answer)
    } catch {
      switch error.status {
      case .unimplemented:
        return .failure("error: this server does not implement the grpc health protocol (\(method.service)): \(error)")
      case .deadlineExceeded:
        return .failure("timeout: health rpc did not complete within \(timeout.components.seconds)s")
      default:
        // As grpc-go says it: servers need not say more than the code.
        let code = error.status == .internalError ? "internal" : "\(error.status)"
        return .failure(
          "error: health rpc probe failed: rpc error: code = \(code.prefix(1).uppercased() + code.dropFirst()) desc = \(error)"
        )
      }
    }
  }

  /// `HealthCheckRequest`: the service is field 1; none asks for the server as a whole.
  static func request(_ service: String) -> ByteBuffer {
    guard !service.isEmpty else { return ByteBuffer() }
    var request = ProtobufWriter()
    request.bytes(1, service.utf8)
    return ByteBuffer(bytes: request.bytes)
  }

  /// `HealthCheckResponse`: the status is field 1, a number, and 0 when it is not there.
  static func result(_ answer: ByteBuffer) -> ProbeResult {
    var bytes = answer.readableBytesView[...]
    guard !bytes.isEmpty else { return .failure("service unhealthy (responded with \"UNKNOWN\")") }
    guard bytes.popFirst() == 0x08, let status = bytes.popFirst(), status < 0x80, bytes.isEmpty else {
      return .failure("error: health rpc probe failed: the answer is no HealthCheckResponse")
    }
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
    if status == 1 { return .success }
    return .failure("service unhealthy (responded with \"\(status < 4 ? names[Int(status)] : String(status))\")")
  }
}
