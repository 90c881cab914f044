import KubeClient

/// One element of an `Accept` header.
struct MediaRange: Sendable, Equatable {
  /// `application/json`, in lower case.
  var type: String
  var parameters: [String: String]
  var quality: Double

  /// Parses an `Accept` header (RFC 9110, section 12.5.1), best first; ties keep their order. Elements that make no
  /// sense are skipped. At most 32 are read.
  static func parse(_ header: String) -> [MediaRange] {
    var ranges: [MediaRange] = []
    for element in header.split(separator: ",").prefix(32) {
      let parts = element.split(separator: ";").map { $0.trimming { $0 == " " || $0 == "\t" } }
      guard let type = parts.first, type.contains("/") else { continue }
      var range = MediaRange(type: type.lowercased(), parameters: [:], quality: 1)
      for part in parts.dropFirst() {
        let pair = part.split(separator: "=", maxSplits: 1)
        guard pair.count == 2 else { continue }
        let value = String(pair[1].trimming { $0 == "\"" })
        if pair[0] == "q" { range.quality = Double(value) ?? 1 } else { range.parameters[String(pair[0])] = value }
      }
      if range.quality > 0 { ranges.append(range) }
    }
    return ranges.enumerated().sorted { ($1.element.quality, $0.offset) < ($0.element.quality, $1.offset) }
      .map(\.element)
  }
}

/// The form of an answer.
struct Representation: Sendable, Equatable {
  enum Shape: Sendable, Equatable {
    case object
    case table
    case partialMetadata
  }

  var shape = Shape.object
  var isYAML = false
  var isProtobuf = false
  /// What was asked for, as the answer's `Content-Type` says it.
  var contentType = "application/json"

  static let json = Representation()
  static let supported = ["application/json", "application/yaml", ProtobufEncoder.mediaType]

  /// Picks the first form that the client accepts and this server has.
  ///
  /// - Parameters:
  ///   - hasTable: whether the answer can be a table; what nothing stores has no columns.
  ///   - hasProtobuf: whether the kind has a form in protobuf. Tables have none.
  /// - Throws: 406 when there is none, as for a client that accepts a table in protobuf alone.
  static func negotiate(
    _ accept: String?, hasTable: Bool = true, hasProtobuf: @autoclosure () -> Bool = false
  ) throws(KubeError) -> Representation {
    guard let accept, !accept.isEmpty, accept != "application/json", accept != "*/*" else { return .json }
    for range in MediaRange.parse(accept) {
      var representation = Representation()
      switch range.type {
      case "application/json", "*/*", "application/*": break
      case "application/yaml", "text/yaml", "application/x-yaml":
        representation.isYAML = true
        representation.contentType = "application/yaml"
      case ProtobufEncoder.mediaType where hasProtobuf():
        representation.isProtobuf = true
        representation.contentType = ProtobufEncoder.mediaType
      default: continue
      }
      switch range.parameters["as"] {
      case nil: break
      case "Table"
      where hasTable && !representation.isProtobuf && range.parameters["g"] == "meta.k8s.io"
        && range.parameters["v"] == "v1":
        representation.shape = .table
      case "PartialObjectMetadata", "PartialObjectMetadataList":
        guard range.parameters["g"] == "meta.k8s.io", range.parameters["v"] == "v1" else { continue }
        representation.shape = .partialMetadata
      default: continue
      }
      return representation
    }
    throw .notAcceptable(hasProtobuf() ? supported : supported.filter { $0 != ProtobufEncoder.mediaType })
  }

  /// Whether the client prefers aggregated discovery (`apidiscovery.k8s.io/v2`).
  static func prefersAggregatedDiscovery(_ accept: String?) -> Bool {
    guard let accept, accept.contains("apidiscovery") else { return false }
    for range in MediaRange.parse(accept) {
      guard range.type == "application/json" else { continue }
      if range.parameters["as"] == "APIGroupDiscoveryList", range.parameters["g"] == "apidiscovery.k8s.io" {
        if range.parameters["v"] == "v2" { return true }
        continue
      }
      return false
    }
    return false
  }
}
