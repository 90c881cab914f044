import ControllerKit
import KubeClient
import Schema
import Synchronization
import Wire

/// Reads request bodies.
enum RequestBody {
  static let mediaTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]

  /// The media type without parameters, in lower case.
  static func mediaType(_ contentType: String) -> String {
    if contentType == "application/json" { return contentType }
    return (contentType.split(separator: ";").first ?? "").trimming(while: \.isWhitespace).lowercased()
  }

  /// Parses a JSON or YAML object.
  ///
  /// - Returns: the value and the paths of repeated keys.
  /// - Throws: 400 for text that cannot be read, 415 for other media types.
  static func parse(_ request: APIRequest, _ schemas: SchemaRegistry) throws(KubeError) -> (JSON, duplicates: [String])
  {
    switch mediaType(request.contentType) {
    case "application/json", "", "*/*":
      var duplicates: [String] = []
      do { return (try JSON.parse(request.body, duplicates: &duplicates), duplicates) } catch {
        throw .badRequest(
          request.body.isEmpty
            ? "the body of the request was empty: an object is expected"
            : "the object provided is unrecognized: couldn't parse it as JSON: \(error)")
      }
    case "application/yaml", "text/yaml", "application/x-yaml":
      do {
        let documents = try YAML.parse(request.body)
        guard documents.count == 1 else {
          throw KubeError.badRequest("the body must hold one YAML document, not \(documents.count)")
        }
        return (documents[0], [])
      } catch let error as KubeError {
        throw error
      } catch {
        throw .badRequest("the object provided is unrecognized: couldn't parse it as YAML: \(error)")
      }
    case "application/vnd.kubernetes.protobuf": return (try ProtobufBody.parse(request.body, schemas), [])
    default: throw .unsupportedMediaType(mediaTypes)
    }
  }

  /// `DeleteOptions` from the body and from the query.
  static func deleteOptions(
    _ request: APIRequest, _ info: RequestInfo, _ write: inout WriteRequest, _ schemas: SchemaRegistry
  ) throws(KubeError)
    -> DeleteOptions
  {
    var options = DeleteOptions()
    if !request.body.isEmpty {
      let (body, _) = try parse(request, schemas)
      options = try deleteOptions(body, &write, schemas)
    }
    if let text = info.query["gracePeriodSeconds"] {
      guard let seconds = Int64(text) else { throw .badRequest("gracePeriodSeconds must be a number") }
      options.gracePeriodSeconds = seconds
    }
    if let policy = info.query["propagationPolicy"], !policy.isEmpty {
      options.propagationPolicy = try propagation(policy)
    }
    if info.query["orphanDependents"] == "true" { options.propagationPolicy = .orphan }
    return options
  }

  /// `DeleteOptions` as an object. A precondition or a dry run that cannot be read must not become a deletion.
  ///
  /// - Throws: 400 for what is no such object, 422 for a dry run of another kind than all of it.
  static func deleteOptions(
    _ body: JSON, _ write: inout WriteRequest, _ schemas: SchemaRegistry
  ) throws(KubeError) -> DeleteOptions {
    var body = body
    if let errors = schemas.structure("meta.DeleteOptions")?.decode(&body).errors, let error = errors.first {
      throw .badRequest("the body cannot be handled as DeleteOptions: \(error)")
    }
    var options = DeleteOptions()
    options.gracePeriodSeconds = body["gracePeriodSeconds"]?.int
    options.preconditionUID = body.at("preconditions", "uid")?.string
    options.preconditionResourceVersion = body.at("preconditions", "resourceVersion")?.string
    if let policy = body["propagationPolicy"]?.string { options.propagationPolicy = try propagation(policy) }
    if body["orphanDependents"]?.bool == true { options.propagationPolicy = .orphan }
    for value in body["dryRun"]?.array ?? [] {
      guard value.string == "All" else {
        throw .invalid(
          kind: GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: "DeleteOptions"), name: "",
          [FieldError(type: .notSupported, path: "dryRun", value: value, detail: "supported values: \"All\"")])
      }
      write.context.dryRun = true
    }
    return options
  }

  private static func propagation(_ text: String) throws(KubeError) -> PropagationPolicy {
    guard let policy = PropagationPolicy(rawValue: text) else {
      throw .badRequest(
        "propagationPolicy: Unsupported value: \"\(text)\": supported values: \"Background\", \"Foreground\", \"Orphan\""
      )
    }
    return policy
  }
}

/// True once.
final class FirstFlag: Sendable {
  private let isTaken = Mutex(false)

  func take() -> Bool {
    isTaken.withLock { isTaken in
      defer { isTaken = true }
      return !isTaken
    }
  }
}
