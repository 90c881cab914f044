import ControllerKit
import KubeClient
import KubeTypes
import NIOCore
import NIOHTTP1
import Protobuf
import Schema
import Store
import Wire

/// Answers requests for resources.
final class RESTHandler: Sendable {
  let service: ResourceService
  let subresources: Subresources
  let rbac: RBAC
  let pods: PodConnections
  let proxies: ProxyConnections
  private let layouts = ProtobufLayouts()
  private let meter = ProtobufListMeter()
  private let lines = WatchEncoder(.json)
  private let frames: WatchEncoder
  /// Of refusals.
  private let statusKind: KindSchema?

  init(
    service: ResourceService, subresources: Subresources, rbac: RBAC, pods: PodConnections, proxies: ProxyConnections
  ) {
    self.service = service
    self.subresources = subresources
    self.rbac = rbac
    self.pods = pods
    self.proxies = proxies
    frames = WatchEncoder(.protobuf(layouts))
    statusKind = service.schemas.kind(GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: "Status"))
  }

  func handle(_ request: APIRequest, _ info: RequestInfo, _ user: UserInfo, respond: @escaping Router.Respond) {
    do {
      let kind = try service.kind(info.groupVersionResource)
      try checkServed(kind, info)
      if let path = info.proxyPath {
        let warnings = try admit(.proxy(kind, path), info, kind, user)
        return try proxies.handle(request, info, path: path, respond: Self.adding(warnings, respond))
      }
      if pods.serves(kind, info) {
        var warnings: [String] = []
        // Reading a log is no connection, though it may last as long as one.
        if let options = ConnectOptions.pod(info) { warnings = try admit(options, info, kind, user) }
        return try pods.handle(request, info, user, respond: Self.adding(warnings, respond))
      }
      var context = RequestContext(user: user)
      if info.verb != "watch" { context.deadline = try RequestContext.deadline(timeout: info.query["timeout"]) }
      switch info.verb {
      case "get": respond(try get(request, info, kind))
      case "list": try list(request, info, kind, respond)
      case "watch": respond(try watch(request, info, kind))
      case "create": try create(request, info, kind, context, respond)
      case "update": try update(request, info, kind, context, respond)
      case "patch": try patch(request, info, kind, context, respond)
      case "delete": try delete(request, info, kind, context, respond)
      case "deletecollection": try deleteCollection(request, info, kind, context, respond)
      default: throw KubeError.methodNotAllowed()
      }
    } catch {
      let wantsProtobuf = (try? negotiate(request, statusKind))?.isProtobuf ?? false
      respond(refusal(error as? KubeError ?? .internalError("\(error)"), inProtobuf: wantsProtobuf))
    }
  }

  private func refusal(_ error: KubeError, inProtobuf: Bool) -> Reply {
    var reply = Reply(error)
    if inProtobuf, let bytes = protobuf(error.status.serialized(), statusKind, .object) {
      (reply.contentType, reply.body) = (ProtobufEncoder.mediaType, .bytes(bytes))
    }
    return reply
  }

  /// The form of an answer of a kind.
  private func negotiate(
    _ request: APIRequest, _ kind: KindSchema?, hasTable: Bool = true
  ) throws(KubeError) -> Representation {
    try Representation.negotiate(
      request.accept, hasTable: hasTable, hasProtobuf: kind.flatMap(layouts.of) != nil)
  }

  /// - Parameter json: an object of the kind.
  /// - Returns: `nil` when it has no form in protobuf.
  private func protobuf(_ json: [UInt8], _ kind: KindSchema?, _ extent: ProtobufEncoder.Extent) -> [UInt8]? {
    kind.flatMap(layouts.of).flatMap { try? ProtobufEncoder.envelope(json, $0, extent) }
  }

  /// The kind of what a subresource answers, which is mostly the object.
  private func answeredKind(_ info: RequestInfo, _ kind: KindSchema) -> KindSchema {
    kind.subresource(info.subresource)?.kind.flatMap { service.schemas.kind($0) } ?? kind
  }

  /// The kind that an object says it is of.
  private func kind(of json: [UInt8]) -> KindSchema? {
    guard let version = JSON.scalar(at: ["apiVersion"], of: json).flatMap({ GroupVersion(apiVersion: $0) }),
      let name = JSON.scalar(at: ["kind"], of: json)
    else { return nil }
    if name == statusKind?.kind, version.group.isEmpty { return statusKind }
    return service.schemas.kind(GroupVersionKind(group: version.group, version: version.version, kind: name))
  }

  /// The kind must have the verb, the subresource and the scope that the URL assumes.
  private func checkServed(_ kind: KindSchema, _ info: RequestInfo) throws(KubeError) {
    // What it is asked for is the proxied program's to answer: whoever may ask anything there may ask that.
    try kind.checkServed(verb: info.proxyPath != nil && info.verb == "options" ? "get" : info.verb, info.subresource)
    if kind.isNamespaced, info.namespace.isEmpty, info.verb != "list", info.verb != "watch" {
      throw info.name.isEmpty && info.verb == "create"
        ? .badRequest("an empty namespace may not be set during creation") : .noSuchPath()
    }
    if !kind.isNamespaced, !info.objectNamespace.isEmpty { throw .noSuchPath() }
    if info.verb == "create", info.subresource.isEmpty, !info.name.isEmpty { throw .methodNotAllowed() }
  }

  /// Asks admission for a connection.
  ///
  /// - Returns: the warnings for the client.
  private func admit(
    _ options: ConnectOptions, _ info: RequestInfo, _ kind: KindSchema, _ user: UserInfo
  ) throws(KubeError) -> [String] {
    var admitted = AdmissionRequest(
      operation: .connect, kind: kind, namespace: info.objectNamespace, name: info.name, subresource: info.subresource,
      context: RequestContext(user: user), object: options.object, old: nil)
    // Nothing is stored that a reservation would wait for.
    defer { admitted.endReservations() }
    try service.admission.admit(&admitted)
    return admitted.warnings
  }

  private static func adding(_ warnings: [String], _ respond: @escaping Router.Respond) -> Router.Respond {
    if warnings.isEmpty { return respond }
    return { reply in
      var reply = reply
      reply.add(warnings: warnings)
      respond(reply)
    }
  }

  // MARK: Reads

  private func get(_ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema) throws(KubeError) -> Reply {
    let representation = try negotiate(request, answeredKind(info, kind))
    let entry = try service.get(kind, namespace: info.objectNamespace, name: info.name)
    if let text = info.query["resourceVersion"], !text.isEmpty, text != "0" {
      let asked = try ResourceService.parseRevision(text)
      if asked > service.store.revision { throw .tooLargeResourceVersion(asked, current: service.store.revision) }
    }
    switch info.subresource {
    case "", "status": return present(entry.value, kind, representation, info, code: 200)
    case "scale":
      guard let object = try? JSON.parse(entry.value) else { throw .internalError("\(entry.key) is not readable") }
      let scale = Subresources.scale(of: object).serialized()
      var form = representation
      form.shape = .object
      return present(scale, answeredKind(info, kind), form, info, code: 200)
    case "ephemeralcontainers", "resize", "approval":
      return present(entry.value, kind, representation, info, code: 200)
    default: throw .methodNotAllowed()
    }
  }

  /// One object in the form that was asked for.
  private func present(
    _ bytes: [UInt8], _ kind: KindSchema, _ representation: Representation, _ info: RequestInfo, code: Int,
    warnings: [String] = []
  ) -> Reply {
    var reply: Reply
    switch representation.shape {
    case .object where representation.isProtobuf, .partialMetadata where representation.isProtobuf:
      let extent = representation.shape == .object ? ProtobufEncoder.Extent.object : .metadata
      guard let bytes = protobuf(bytes, kind, extent) else {
        return Reply(.internalError("the object cannot be written as protobuf: ask for JSON"))
      }
      reply = Reply(code: code, contentType: representation.contentType, body: .bytes(bytes))
    case .object:
      reply = Reply(code: code, contentType: representation.contentType, body: .bytes(bytes))
    case .table:
      reply = Reply(
        json: TableForm.table(
          objects: [bytes], kind: kind, metadata: [:], includeObject: info.query["includeObject"] ?? "Metadata",
          now: service.time.now()), code: code)
    case .partialMetadata:
      reply = Reply(json: TableForm.partialMetadata(bytes), code: code)
    }
    reply.add(warnings: warnings)
    return reply
  }

  private func list(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let representation = try negotiate(request, kind)
    let result = try listResult(info, kind)
    present(result.entries, Self.listMetadata(result), kind, representation, info, respond)
  }

  /// A list in the form that was asked for.
  private func present(
    _ entries: [Entry], _ metadata: JSONObject, _ kind: KindSchema, _ representation: Representation,
    _ info: RequestInfo, _ respond: @escaping Router.Respond
  ) {
    switch representation.shape {
    case .object where representation.isProtobuf:
      presentInProtobuf(entries, metadata, kind, .object, respond)
    case .partialMetadata where representation.isProtobuf:
      presentInProtobuf(entries, metadata, kind, .metadata, respond)
    case .object:
      var prefix: [UInt8] = []
      prefix.append(literal: "{\"kind\":")
      prefix.append(jsonString: kind.listKind)
      prefix.append(literal: ",\"apiVersion\":")
      prefix.append(jsonString: kind.groupVersion.description)
      prefix.append(literal: ",\"metadata\":")
      JSON.object(metadata).serialize(into: &prefix)
      prefix.append(literal: ",\"items\":[")
      respond(
        Reply(
          contentType: representation.contentType,
          body: .list(prefix: prefix, entries: entries, suffix: Array("]}".utf8))))
    case .table:
      respond(
        Reply(
          json: TableForm.table(
            objects: entries.map(\.value), kind: kind, metadata: metadata,
            includeObject: info.query["includeObject"] ?? "Metadata", now: service.time.now())))
    case .partialMetadata:
      respond(
        Reply(
          json: [
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": .object(metadata),
            "items": .array(entries.map { TableForm.partialMetadata($0.value) }),
          ]))
    }
  }

  private func presentInProtobuf(
    _ entries: [Entry], _ metadata: JSONObject, _ kind: KindSchema, _ extent: ProtobufEncoder.Extent,
    _ respond: @escaping Router.Respond
  ) {
    // It was negotiated because there is one.
    guard let layout = layouts.of(kind) else { return respond(Reply(.internalError("\(kind.kind) has no protobuf"))) }
    // `ListMeta`
    var writer = ProtobufWriter()
    if let revision = metadata["resourceVersion"]?.string { writer.bytes(2, revision.utf8) }
    if let token = metadata["continue"]?.string { writer.bytes(3, token.utf8) }
    if let remaining = metadata["remainingItemCount"]?.int { writer.number(4, UInt64(bitPattern: remaining)) }
    let bytes = writer.bytes
    if ProtobufListBody.isSmall(entries) {
      do throws(ProtobufError) {
        let list = try ProtobufListBody.bytes(bytes, entries, layout, extent)
        respond(Reply(contentType: ProtobufEncoder.mediaType, body: .bytes(list)))
      } catch {
        respond(Reply(.internalError("the list cannot be written as protobuf: \(error.message)")))
      }
      return
    }
    let isTaken = meter.add {
      do throws(ProtobufError) {
        let list = try ProtobufListBody.measured(bytes, entries, layout, extent)
        respond(Reply(contentType: ProtobufEncoder.mediaType, body: .protobufList(list)))
      } catch {
        respond(Reply(.internalError("the list cannot be written as protobuf: \(error.message)")))
      }
    }
    if !isTaken { respond(Reply(.tooManyRequests("too many large lists are written; try again"))) }
  }

  private static func listMetadata(_ result: ListResult) -> JSONObject {
    var metadata: JSONObject = ["resourceVersion": .string(String(result.revision))]
    if !result.continueToken.isEmpty { metadata["continue"] = .string(result.continueToken) }
    if let remaining = result.remaining { metadata["remainingItemCount"] = .int(Int64(remaining)) }
    return metadata
  }

  private func listResult(_ info: RequestInfo, _ kind: KindSchema) throws(KubeError) -> ListResult {
    let query = info.query
    let limit: Int64
    if let text = query["limit"], !text.isEmpty {
      guard let value = Int64(text), value >= 0 else {
        throw .badRequest("limit must be a number that is not negative")
      }
      limit = value
    } else {
      limit = 0
    }
    return try service.list(
      kind, namespace: info.objectNamespace, selector: try selector(info, kind), limit: Int(limit),
      continueToken: query["continue"] ?? "", resourceVersion: query["resourceVersion"] ?? "",
      resourceVersionMatch: query["resourceVersionMatch"] ?? "")
  }

  private func selector(_ info: RequestInfo, _ kind: KindSchema) throws(KubeError) -> ObjectSelector {
    var fields = info.query["fieldSelector"] ?? ""
    // `GET /api/v1/watch/pods/NAME` and `GET …/NAME?watch=1` watch one object.
    if !info.name.isEmpty { fields += (fields.isEmpty ? "" : ",") + "metadata.name=\(info.name)" }
    return try ObjectSelector(labels: info.query["labelSelector"] ?? "", fields: fields, kind: kind)
  }

  private func watch(_ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema) throws(KubeError) -> Reply {
    let representation = try negotiate(request, kind)
    let query = info.query
    var options = WatchSource.Options()
    options.namespace = info.objectNamespace
    options.selector = try selector(info, kind)
    options.resourceVersion = query["resourceVersion"] ?? ""
    options.allowBookmarks = query.flag("allowWatchBookmarks")
    if query["sendInitialEvents"] != nil {
      options.sendInitialEvents = query.flag("sendInitialEvents")
      guard query["resourceVersionMatch"] == "NotOlderThan" else {
        throw .invalid(
          kind: GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: "ListOptions"), name: "",
          [
            FieldError(
              type: .forbidden, path: "resourceVersionMatch",
              detail: "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
          ])
      }
    }
    let time = service.time
    let includeObject = query["includeObject"] ?? "Metadata"
    let contentType = representation.isProtobuf ? ProtobufEncoder.mediaType + ";stream=watch" : "application/json"
    let encoder = representation.isProtobuf ? frames : lines
    let statusKind = statusKind
    let isFirst = FirstFlag()
    let encode: @Sendable (WatchNotice) -> ByteBuffer? = { stored in
      let notice = stored.served(as: kind)
      switch (representation.shape, notice) {
      case (.table, .added(let entry)), (.table, .modified(let entry)), (.table, .deleted(let entry)):
        var table = TableForm.table(
          objects: [entry.value], kind: kind, metadata: ["resourceVersion": .string(String(entry.revision))],
          includeObject: includeObject, now: time.now())
        // The columns are told once.
        if !isFirst.take() { table["columnDefinitions"] = .null }
        return WatchEncoder.line(notice.name, table.serialized())
      case (.table, .bookmark(let revision, let ends)):
        let object = WatchEncoder.bookmark(kind, revision, ends)
        return WatchEncoder.line(
          "BOOKMARK",
          JSON.object([
            "kind": "Table", "apiVersion": "meta.k8s.io/v1",
            "metadata": ["resourceVersion": .string(String(revision))], "columnDefinitions": .null,
            "rows": [["cells": .array(kind.tableColumns.map { _ in "" }), "object": object]],
          ]).serialized())
      case (.partialMetadata, .added(let entry)), (.partialMetadata, .modified(let entry)),
        (.partialMetadata, .deleted(let entry)):
        if representation.isProtobuf {
          return encoder.event(notice.name, entry.value, kind, .metadata, status: statusKind)
        }
        return WatchEncoder.line(notice.name, TableForm.partialMetadata(entry.value).serialized())
      case (.partialMetadata, .bookmark(let revision, let ends)):
        let bookmark = WatchEncoder.bookmark(kind, revision, ends)
        if representation.isProtobuf {
          return encoder.event("BOOKMARK", bookmark.serialized(), kind, .metadata, status: statusKind)
        }
        return WatchEncoder.line("BOOKMARK", TableForm.partialMetadata(bookmark).serialized())
      default: return encoder.event(notice, kind: kind, status: statusKind)
      }
    }
    var endsAfter: TimeAmount?
    if let seconds = query.int("timeoutSeconds"), seconds > 0 { endsAfter = .seconds(min(seconds, 86_400)) }
    // An expired version is told as an event: that is what watchers look for.
    let response: WatchResponse
    do {
      response = try WatchResponse(
        service, kind, options, contentType: contentType, endsAfter: endsAfter, encode: encode)
    } catch {
      guard error.code == 410 else { throw error }
      var bytes: [UInt8] = []
      let event = encoder.event(.failed(error), kind: kind, status: statusKind)
      bytes.append(contentsOf: event.readableBytesView)
      return Reply(contentType: contentType, body: .bytes(bytes))
    }
    return Reply(contentType: contentType, body: .watch(response))
  }

  // MARK: Writes

  /// - Parameter options: the kind of the write's options, which refusals of them name.
  private func writeRequest(
    _ received: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext, as options: String
  ) throws(KubeError) -> WriteRequest {
    var request = WriteRequest(
      kind: kind, namespace: info.objectNamespace, name: info.name, subresource: info.subresource, context: context,
      loop: received.loop, canBlock: true)
    if let manager = info.query["fieldManager"], !manager.isEmpty {
      try FieldManager.check(manager, options: options)
      request.context.fieldManager = manager
    } else {
      request.context.fieldManager = FieldManager.name(userAgent: received.headers.first(name: "user-agent"))
    }
    for value in info.query.all("dryRun") {
      guard value == "All" else {
        throw .badRequest("dryRun: Unsupported value: \"\(value)\": supported values: \"All\"")
      }
      request.context.dryRun = true
    }
    if let text = info.query["fieldValidation"], !text.isEmpty {
      guard let validation = FieldValidation(rawValue: text) else {
        throw .badRequest(
          "fieldValidation: Unsupported value: \"\(text)\": supported values: \"Ignore\", \"Strict\", \"Warn\"")
      }
      request.fieldValidation = validation
    }
    return request
  }

  private func answer(
    _ info: RequestInfo, _ kind: KindSchema, _ representation: Representation, _ loop: any EventLoop,
    _ respond: @escaping Router.Respond
  ) -> WriteCompletion {
    { result in
      let answer: @Sendable () -> Void = {
        switch result {
        case .success(let written): respond(self.present(written, info, kind, representation))
        case .failure(let error): respond(self.refusal(error, inProtobuf: representation.isProtobuf))
        }
      }
      // Other forms parse the object: not on the store's thread, which all writes wait for and whose stack is small.
      if representation.shape == .object, !representation.isProtobuf { answer() } else { loop.execute(answer) }
    }
  }

  private func present(
    _ written: Written, _ info: RequestInfo, _ kind: KindSchema, _ representation: Representation
  ) -> Reply {
    let bytes = written.status?.serialized() ?? written.bytes
    var form = representation
    var answered: KindSchema? = kind
    // Subresources answer with their own kinds, which have no table here.
    if written.status != nil || !info.subresource.isEmpty && info.subresource != "status" {
      answered = representation.isProtobuf ? self.kind(of: bytes) : nil
      form = answered == nil ? .json : representation
      form.shape = .object
    }
    return present(bytes, answered ?? kind, form, info, code: written.code, warnings: written.warnings)
  }

  private func create(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let representation = try negotiate(
      request, answeredKind(info, kind), hasTable: !info.subresource.isEmpty || kind.verbs.contains("get"))
    let (body, duplicates) = try RequestBody.parse(request, service.schemas)
    let write = try writeRequest(request, info, kind, context, as: "CreateOptions")
    subresources.create(
      write, body: body, duplicates: duplicates, completion: answer(info, kind, representation, request.loop, respond))
  }

  private func update(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let representation = try negotiate(request, answeredKind(info, kind))
    let (body, duplicates) = try RequestBody.parse(request, service.schemas)
    let write = try writeRequest(request, info, kind, context, as: "UpdateOptions")
    subresources.update(
      write, body: body, duplicates: duplicates, completion: answer(info, kind, representation, request.loop, respond))
  }

  private func patch(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let representation = try negotiate(request, answeredKind(info, kind))
    let mediaType = RequestBody.mediaType(request.contentType)
    guard let type = PatchType(rawValue: mediaType) else {
      throw .unsupportedMediaType(
        PatchType.allCases.map(\.rawValue),
        mediaType.hasPrefix("application/apply-patch")
          ? "server-side apply is not served yet: use client-side apply (kubectl apply --server-side=false)" : "")
    }
    let write = try writeRequest(request, info, kind, context, as: "PatchOptions")
    let body: JSON
    do { body = try JSON.parse(request.body) } catch {
      throw .badRequest("the patch is not valid JSON: \(error)")
    }
    subresources.patch(
      write, type: type, body: body, completion: answer(info, kind, representation, request.loop, respond))
  }

  private func delete(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    let representation = try negotiate(request, answeredKind(info, kind))
    guard info.subresource.isEmpty else { throw .methodNotAllowed() }
    var write = try writeRequest(request, info, kind, context, as: "DeleteOptions")
    let options = try RequestBody.deleteOptions(request, info, &write, service.schemas)
    service.delete(write, options: options, completion: answer(info, kind, representation, request.loop, respond))
  }

  private func deleteCollection(
    _ request: APIRequest, _ info: RequestInfo, _ kind: KindSchema, _ context: RequestContext,
    _ respond: @escaping Router.Respond
  ) throws(KubeError) {
    var write = try writeRequest(request, info, kind, context, as: "DeleteOptions")
    // One commit may be waited for, not one for each object.
    write.canBlock = false
    let options = try RequestBody.deleteOptions(request, info, &write, service.schemas)
    let representation = try negotiate(request, kind)
    let result = try listResult(info, kind)
    let metadata = Self.listMetadata(result)
    service.deleteCollection(write, objects: result.entries, options: options) { outcome in
      switch outcome {
      case .success(let entries):
        // Not on the store's thread, as for a single object.
        request.loop.execute { self.present(entries, metadata, kind, representation, info, respond) }
      case .failure(let error): respond(self.refusal(error, inProtobuf: representation.isProtobuf))
      }
    }
  }
}

extension KindSchema {
  /// The kind must have the verb, or its subresource. Without this, a right to `update pods/eviction` or to
  /// `watch deployments/scale` would be one to the object.
  func checkServed(verb: String, _ subresource: String) throws(KubeError) {
    guard !subresource.isEmpty else {
      if !verbs.contains(verb) { throw .methodNotAllowed() }
      return
    }
    guard let part = self.subresource(subresource) else { throw .noSuchPath() }
    guard part.verbs.contains(verb) else { throw .methodNotAllowed() }
  }
}
