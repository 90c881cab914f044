import KubeTypes
import NIOCore
import Testing
import Wire

@testable import Node

/// The exchange itself is tried against a server of gRPC's own library (`test_pods.py`).
@Suite(.timeLimit(.minutes(1))) struct GRPCProbeTests {
  private func target(_ action: JSON) throws -> ProbeTarget {
    try ProbeTarget(
      probe: Probe(json: ["grpc": action]), container: Container(json: ["name": "c"]), podIP: "10.0.0.7",
      version: "v1.33.1")
  }

  @Test func targets() throws {
    #expect(
      try target(["port": 50051])
        == .grpc(.init(isTLS: false, host: "10.0.0.7", port: 50051, service: "", userAgent: "kube-probe/1.33")))
    #expect(
      try target(["port": 1, "service": "a.B", "mode": "TLS"])
        == .grpc(.init(isTLS: true, host: "10.0.0.7", port: 1, service: "a.B", userAgent: "kube-probe/1.33")))
    #expect(throws: NodeError.self) { try target(["port": 0]) }
    #expect(throws: NodeError.self) { try target([:]) }
  }

  @Test func questions() {
    #expect(GRPCProbe.request("") == ByteBuffer())
    #expect(GRPCProbe.request("ab") == ByteBuffer(bytes: [0x0a, 2, 0x61, 0x62]))
    let long = GRPCProbe.request(String(repeating: "x", count: 300))
    #expect(Array(long.readableBytesView.prefix(4)) == [0x0a, 0xac, 0x02, 0x78] && long.readableBytes == 303)
  }

  @Test(
    arguments: [
      ([], "service unhealthy (responded with \"UNKNOWN\")"),
      ([8, 0], "service unhealthy (responded with \"UNKNOWN\")"),
      ([8, 2], "service unhealthy (responded with \"NOT_SERVING\")"),
      ([8, 3], "service unhealthy (responded with \"SERVICE_UNKNOWN\")"),
      ([8, 9], "service unhealthy (responded with \"9\")"),
      ([8], "error: health rpc probe failed: the answer is no HealthCheckResponse"),
      ([8, 0x81, 0], "error: health rpc probe failed: the answer is no HealthCheckResponse"),
      ([8, 1, 8], "error: health rpc probe failed: the answer is no HealthCheckResponse"),
      ([0x12, 1, 1], "error: health rpc probe failed: the answer is no HealthCheckResponse"),
    ] as [([UInt8], String)])
  func answersThatAreNotWell(_ bytes: [UInt8], _ failure: String) {
    #expect(GRPCProbe.result(ByteBuffer(bytes: bytes)) == .failure(failure))
  }

  @Test func well() { #expect(GRPCProbe.result(ByteBuffer(bytes: [8, 1])) == .success) }
}
