import Content
import Glibc
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Testing
import Wire

@testable import Containers
@testable import Node
@testable import OCI

/// Threads for parts of the node that are tested without it.
let testLanes = NodeLanes(log: Logger(label: "test"))

/// A node on fakes, with an image store and a data folder of its own.
final class NodeHarness: Sendable {
  let base: String
  let client = FakeKubeClient()
  let fake: FakeRuntime
  let runtime: any ContainerRuntime
  let images: ImageStore
  let time: any TimeSource
  let puller = FakePuller()
  let pins = FakePins()

  /// - Parameters:
  ///   - layer: a tar of the image's one layer; an empty one otherwise.
  ///   - runtime: instead of the fake.
  init(
    layer: [UInt8] = [UInt8](repeating: 0, count: 1024), runtime: (any ContainerRuntime)? = nil,
    time: any TimeSource = SystemClock()
  ) async throws {
    self.time = time
    var template = Array("/tmp/apus-node-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    base = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    fake = FakeRuntime(time: time, base: base)
    self.runtime = runtime ?? fake
    images = try ImageStore.open(root: "\(base)/images")
    try await importImage("localhost/web:1", layer: layer)
    puller.connect(to: self)
  }

  /// - Parameter healthcheck: as the image configuration has it.
  @discardableResult
  func importImage(
    _ name: String, layer: [UInt8] = [UInt8](repeating: 0, count: 1024), healthcheck: JSON? = nil
  ) async throws -> OCI.Image {
    let folder = "\(base)/layout-\(name.replacing("/", with: "_"))"
    func blob(_ bytes: [UInt8]) throws -> (digest: String, size: Int64) {
      var hasher = DigestHasher(.sha256)
      bytes.withUnsafeBytes { hasher.update($0) }
      let digest = hasher.finish()
      try Directory.create("\(folder)/blobs/sha256")
      try DurableFile.write(bytes, to: "\(folder)/blobs/sha256/\(digest.hex)")
      return (digest.description, Int64(bytes.count))
    }
    try Directory.create("\(folder)/blobs/sha256")
    let layer = try blob(layer)
    var details: JSON = [
      "Entrypoint": ["/bin/web"], "Env": ["FROM_IMAGE=1"], "User": "1000", "Labels": ["name": .string(name)],
    ]
    if let healthcheck { details["Healthcheck"] = healthcheck }
    let config: JSON = [
      "architecture": "amd64", "os": "linux", "config": details,
      "rootfs": ["type": "layers", "diff_ids": [.string(layer.digest)]],
    ]
    let configBlob = try blob(config.serialized())
    let manifest: JSON = [
      "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "config": [
        "mediaType": "application/vnd.oci.image.config.v1+json", "digest": .string(configBlob.digest),
        "size": .int(configBlob.size),
      ],
      "layers": [
        [
          "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": .string(layer.digest),
          "size": .int(layer.size),
        ]
      ],
    ]
    let manifestBlob = try blob(manifest.serialized())
    let index: JSON = [
      "schemaVersion": 2,
      "manifests": [
        [
          "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": .string(manifestBlob.digest),
          "size": .int(manifestBlob.size), "annotations": ["org.opencontainers.image.ref.name": .string(name)],
        ]
      ],
    ]
    try DurableFile.write(index.serialized(), to: "\(folder)/index.json")
    try DurableFile.write(Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8), to: "\(folder)/oci-layout")
    return try await images.importArchive(path: folder, name: name)[0]
  }

  var configuration: NodeConfiguration {
    var configuration = NodeConfiguration(name: "n1", dataDirectory: "\(base)/data", runDirectory: "\(base)/run")
    configuration.nodeIPs = ["192.0.2.1"]
    return configuration
  }

  func makeNode(on other: (any ContainerRuntime)?, _ configuration: NodeConfiguration) -> NodeAgent {
    NodeAgent(
      configuration: configuration, client: client, runtime: other ?? runtime,
      images: images, puller: puller, pins: pins, time: time, seed: 1)
  }

  /// Runs a node while `body` runs, as one life of the server.
  func withNode(
    on other: (any ContainerRuntime)? = nil, configuration: NodeConfiguration? = nil,
    _ body: (NodeAgent) async throws -> Void
  ) async throws {
    let node = makeNode(on: other, configuration ?? self.configuration)
    let task = Task { try await node.run() }
    let result: Result<Void, any Error>
    do {
      try await body(node)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    task.cancel()
    _ = await task.result
    try result.get()
  }

  /// Runs a node again and again, as a supervisor does with one that failed.
  func withRuns(of node: NodeAgent, _ bodies: [() async throws -> Void]) async throws {
    for body in bodies {
      let task = Task { try await node.run() }
      let result: Result<Void, any Error>
      do { result = .success(try await body()) } catch { result = .failure(error) }
      task.cancel()
      _ = await task.result
      try result.get()
    }
  }

  func close() {
    try? Mount.unmountTree(base)
    try? Directory.removeTree(base)
  }

  /// A pod that is bound to the node.
  @discardableResult
  func createPod(_ name: String, uid: String? = nil, _ change: (inout JSON) -> Void = { _ in }) -> Pod {
    var pod: JSON = [
      "apiVersion": "v1", "kind": "Pod",
      "metadata": [
        "name": .string(name), "namespace": "default", "uid": .string(uid ?? "uid-\(name)"), "generation": 1,
      ],
      "spec": [
        "nodeName": "n1", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default",
        "containers": [["name": "web", "image": "localhost/web:1", "imagePullPolicy": "IfNotPresent"]],
      ],
      "status": ["phase": "Pending", "qosClass": "BestEffort"],
    ]
    change(&pod)
    return client.put(Pod.resource, "default", pod).decode(Pod.self)
  }

  func pod(_ name: String) -> Pod? { client.object(Pod.resource, "default", name).map { Pod(json: $0) } }

  func deletePod(_ name: String, grace: Int64? = nil) async throws {
    _ = try await client.delete(
      Pod.resource, namespace: "default", name: name, options: DeleteOptions(gracePeriodSeconds: grace))
  }
}

extension Pod {
  var phase: String { json.at("status", "phase")?.string ?? "" }
  func containerStatus(_ name: String) -> JSON? {
    let list =
      (json.at("status", "containerStatuses")?.array ?? []) + (json.at("status", "initContainerStatuses")?.array ?? [])
    return list.first { $0["name"]?.string == name }
  }
  func condition(_ type: String) -> JSON? {
    json.at("status", "conditions")?.array?.first { $0["type"]?.string == type }
  }
  var isPodReady: Bool { condition("Ready")?["status"]?.string == "True" }
  func restarts(_ name: String = "web") -> Int64 { containerStatus(name)?["restartCount"]?.int ?? -1 }
  func waitingReason(_ name: String = "web") -> String? {
    containerStatus(name)?.at("state", "waiting", "reason")?.string
  }
}
