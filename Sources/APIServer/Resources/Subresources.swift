import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// Writes that are more than "store this object": `scale`, `binding`, `eviction`, `token`, and the reviews, which are
/// questions that nothing stores.
final class Subresources: Sendable {
  let service: ResourceService
  let authenticator: Authenticator
  let rbac: RBAC

  init(service: ResourceService, authenticator: Authenticator, rbac: RBAC) {
    self.service = service
    self.authenticator = authenticator
    self.rbac = rbac
  }

  // MARK: Create

  func create(
    _ request: WriteRequest, body: JSON, duplicates: [String] = [], completion: @escaping WriteCompletion
  ) {
    do {
      switch (request.resource.groupResource, request.subresource) {
      case ("pods", "binding"), ("bindings", ""): try bind(request, body, completion)
      case ("pods", "eviction"): try Eviction(service, request, body, completion: completion).run()
      case ("serviceaccounts", "token"): try completion(.success(issueToken(request, body)))
      case ("tokenreviews.authentication.k8s.io", ""): completion(.success(review(tokenReview(body))))
      case ("selfsubjectreviews.authentication.k8s.io", ""):
        completion(.success(review(Self.selfReview(body, request.context.user))))
      case ("subjectaccessreviews.authorization.k8s.io", ""),
        ("localsubjectaccessreviews.authorization.k8s.io", ""):
        // Who may ask about one namespace must not learn about another, or about what is in none.
        if request.kind.isNamespaced, body.at("spec", "resourceAttributes", "namespace")?.string != request.namespace {
          throw KubeError.invalid(
            kind: request.kind.groupVersionKind, name: "",
            [
              FieldError(
                type: .invalid, path: "spec.resourceAttributes.namespace",
                value: body.at("spec", "resourceAttributes", "namespace") ?? "",
                detail: "must match metadata.namespace")
            ])
        }
        completion(.success(review(try accessReview(body, user: nil, namespace: request.namespace))))
      case ("selfsubjectaccessreviews.authorization.k8s.io", ""):
        completion(.success(review(try accessReview(body, user: request.context.user, namespace: ""))))
      case ("selfsubjectrulesreviews.authorization.k8s.io", ""):
        completion(.success(review(rulesReview(body, request.context.user))))
      case (_, ""): service.create(request, body: body, duplicates: duplicates, completion: completion)
      default: throw KubeError.methodNotAllowed()
      }
    } catch {
      completion(.failure(error as? KubeError ?? .internalError("\(error)")))
    }
  }

  private func review(_ object: JSON) -> Written {
    Written(code: 201, bytes: object.serialized(), header: ObjectHeader(object))
  }

  static func success(code: Int = 201) -> JSON {
    ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": .int(Int64(code))]
  }

  /// Puts a pod on a node, once (`pods/binding`).
  private func bind(_ request: WriteRequest, _ body: JSON, _ completion: @escaping WriteCompletion) throws(KubeError) {
    guard let pods = service.schemas.resource(GroupVersionResource(group: "", version: "v1", resource: "pods")) else {
      throw .noSuchPath()
    }
    guard let node = body.at("target", "name")?.string, !node.isEmpty else {
      throw .invalid(
        kind: GroupVersionKind(group: "", version: "v1", kind: "Binding"), name: request.name,
        [FieldError(type: .required, path: "target.name", value: nil, detail: "")])
    }
    var pod = request
    pod.kind = pods
    pod.subresource = "binding"
    if pod.name.isEmpty { pod.name = body.at("metadata", "name")?.string ?? "" }
    let uid = body.at("metadata", "uid")?.string ?? ""
    let annotations = body.at("metadata", "annotations")?.object?.members ?? []
    let name = pod.name
    let resource = pod.resource
    let time = service.time
    service.modify(
      pod,
      completion: { result in
        completion(
          result.map { written in
            var written = written
            written.code = 201
            written.status = Self.success()
            return written
          })
      },
      { (current) throws(KubeError) in
        if !uid.isEmpty, current.at("metadata", "uid")?.string != uid {
          throw .conflict(resource, name, "Precondition failed: UID in precondition: \(uid)")
        }
        if current.at("metadata", "deletionTimestamp") != nil {
          throw .conflict(resource, name, "pod \(name) is being deleted, cannot be assigned to a host")
        }
        if let present = current.at("spec", "nodeName")?.string, !present.isEmpty {
          throw .conflict(resource, name, "pod \(name) is already assigned to node \"\(present)\"")
        }
        var pod = current
        pod["spec"]?["nodeName"] = .string(node)
        if !annotations.isEmpty {
          var present = pod.at("metadata", "annotations") ?? [:]
          for (key, value) in annotations { present[key] = value }
          pod["metadata"]?["annotations"] = present
        }
        var conditions = (pod.at("status", "conditions")?.array ?? []).filter {
          $0["type"]?.string != "PodScheduled"
        }
        conditions.append([
          "type": "PodScheduled", "status": "True", "lastProbeTime": nil,
          "lastTransitionTime": .string(time.now().rfc3339),
        ])
        pod["status"]?["conditions"] = .array(conditions)
        return pod
      })
  }

  private static let tokenLifetimeMin: Int64 = 600
  private static let tokenLifetimeMax: Int64 = 1 << 32

  /// Issues a service account token (`serviceaccounts/token`, KEP-1205).
  private func issueToken(_ request: WriteRequest, _ body: JSON) throws(KubeError) -> Written {
    let account = try service.get(request.kind, namespace: request.namespace, name: request.name)
    let seconds = body.at("spec", "expirationSeconds")?.int ?? 3600
    guard (Self.tokenLifetimeMin...Self.tokenLifetimeMax).contains(seconds) else {
      throw .invalid(
        kind: GroupVersionKind(group: "authentication.k8s.io", version: "v1", kind: "TokenRequest"), name: "",
        [
          FieldError(
            type: .invalid, path: "spec.expirationSeconds", value: .int(seconds),
            detail: seconds < Self.tokenLifetimeMin
              ? "may not specify a duration less than 10 minutes"
              : "may not specify a duration larger than 2^32 seconds")
        ])
    }
    var audiences = body.at("spec", "audiences")?.array?.compactMap(\.string) ?? []
    if audiences.isEmpty { audiences = authenticator.audiences }
    var bound: TokenIssuer.Claims.Bound?
    var node: TokenIssuer.Claims.Bound?
    if let reference = body.at("spec", "boundObjectRef"), let kind = reference["kind"]?.string {
      let name = reference["name"]?.string ?? ""
      let resources = ["Pod": "pods", "Secret": "secrets", "Node": "nodes"]
      guard let plural = resources[kind] else {
        throw .badRequest("cannot bind token for serviceaccount to object kind \(kind): it must be Pod, Secret or Node")
      }
      let resource = GroupVersionResource(group: "", version: "v1", resource: plural)
      var binding = TokenIssuer.Claims.Bound(kind: kind, name: name, uid: "")
      guard let object = service.store.get(binding.key(in: request.namespace)) else { throw .notFound(resource, name) }
      binding.uid = object.header.uid
      if let uid = reference["uid"]?.string, !uid.isEmpty, uid != object.header.uid {
        throw .conflict(
          resource, name,
          "the UID in the bound object reference (\(uid)) does not match the UID in record. The object might have been "
            + "deleted and then recreated")
      }
      if kind == "Pod", JSON.scalar(at: ["spec", "serviceAccountName"], of: object.value) != request.name {
        throw .badRequest(
          "cannot bind token for serviceaccount \"\(request.name)\" to pod running with different serviceaccount name.")
      }
      bound = binding
      if kind == "Pod", let name = JSON.scalar(at: ["spec", "nodeName"], of: object.value), !name.isEmpty {
        let uid = service.store.get("nodes/\(name)")?.header.uid
        node = uid.map { TokenIssuer.Claims.Bound(kind: "Node", name: name, uid: $0) }
      }
    }
    let now = service.time.now()
    let issuedAt = now.microseconds / 1_000_000
    let claims = TokenIssuer.Claims(
      id: service.identifiers.uid(), namespace: request.namespace, serviceAccount: request.name,
      serviceAccountUID: account.header.uid,
      audiences: audiences, issuedAt: issuedAt, expiresAt: issuedAt + seconds, bound: bound,
      node: node)
    guard let token = authenticator.issuer.sign(claims) else {
      throw .internalError("the token cannot be signed")
    }
    var spec = body["spec"]?.object ?? JSONObject()
    spec["audiences"] = .array(audiences.map(JSON.string))
    spec["expirationSeconds"] = .int(seconds)
    if spec["boundObjectRef"] == nil { spec["boundObjectRef"] = .null }
    let object: JSON = [
      "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
      "metadata": [
        "name": .string(request.name), "namespace": .string(request.namespace),
        "creationTimestamp": .string(now.rfc3339),
      ],
      "spec": .object(spec),
      "status": [
        "token": .string(token), "expirationTimestamp": .string(Timestamp(seconds: claims.expiresAt).rfc3339),
      ],
    ]
    return review(object)
  }

  // MARK: Reviews

  private func tokenReview(_ body: JSON) -> JSON {
    var review = body
    review["apiVersion"] = "authentication.k8s.io/v1"
    review["kind"] = "TokenReview"
    let asked = body.at("spec", "audiences")?.array?.compactMap(\.string) ?? []
    if let token = body.at("spec", "token")?.string,
      let (user, audiences) = authenticator.user(
        token: token, audiences: asked.isEmpty ? authenticator.audiences : asked, now: service.time.now())
    {
      review["status"] = [
        "authenticated": true, "user": user.json, "audiences": .array(audiences.map(JSON.string)),
      ]
    } else {
      review["status"] = ["authenticated": false, "user": [:], "error": "the token is not valid for this server"]
    }
    return review
  }

  private static func selfReview(_ body: JSON, _ user: UserInfo) -> JSON {
    [
      "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1",
      "metadata": body["metadata"] ?? [:], "status": ["userInfo": user.json],
    ]
  }

  private func accessReview(_ body: JSON, user: UserInfo?, namespace: String) throws(KubeError) -> JSON {
    let spec = body["spec"] ?? .null
    let subject =
      user
      ?? UserInfo(
        name: spec["user"]?.string ?? "", uid: spec["uid"]?.string ?? "",
        groups: spec["groups"]?.array?.compactMap(\.string) ?? [])
    var attributes = AccessAttributes(user: subject, verb: "")
    if let resource = spec["resourceAttributes"] {
      attributes.verb = resource["verb"]?.string ?? ""
      attributes.namespace = resource["namespace"]?.string ?? namespace
      attributes.group = resource["group"]?.string ?? ""
      attributes.resource = resource["resource"]?.string ?? ""
      attributes.subresource = resource["subresource"]?.string ?? ""
      attributes.name = resource["name"]?.string ?? ""
    } else if let path = spec["nonResourceAttributes"] {
      attributes.isResourceRequest = false
      attributes.verb = path["verb"]?.string ?? ""
      attributes.path = path["path"]?.string ?? ""
    } else {
      throw .badRequest("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
    }
    var review = body
    review["status"] = ["allowed": .bool(rbac.allows(attributes))]
    return review
  }

  private func rulesReview(_ body: JSON, _ user: UserInfo) -> JSON {
    let rules = rbac.rules(for: user, namespace: body.at("spec", "namespace")?.string ?? "")
    var review = body
    review["status"] = [
      "resourceRules": .array(rules.filter { $0.paths.isEmpty }.map(\.json)),
      "nonResourceRules": .array(rules.filter { !$0.paths.isEmpty }.map(\.json)), "incomplete": false,
    ]
    return review
  }

  // MARK: Update and patch

  /// What can be updated and patched; `ResourceService.prepareForUpdate` says what of the object each may change.
  private static let written: Set<String> = [
    "", "status", "scale", "finalize", "ephemeralcontainers", "resize", "approval",
  ]

  func update(
    _ request: WriteRequest, body: JSON, duplicates: [String] = [], completion: @escaping WriteCompletion
  ) {
    guard Self.written.contains(request.subresource) else { return completion(.failure(.methodNotAllowed())) }
    guard request.subresource == "scale" else {
      return service.update(request, body: body, duplicates: duplicates, completion: completion)
    }
    changeScale(request, completion) { _ throws(KubeError) in body }
  }

  func patch(_ request: WriteRequest, type: PatchType, body: JSON, completion: @escaping WriteCompletion) {
    guard Self.written.contains(request.subresource) else { return completion(.failure(.methodNotAllowed())) }
    guard request.subresource == "scale" else {
      return service.patch(request, type: type, body: body, completion: completion)
    }
    let kind = request.kind
    changeScale(request, completion) { (scale) throws(KubeError) in
      // `Scale` has no lists that would merge by key: its strategic merge patch is a merge patch.
      try ResourceService.apply(body, type: type == .strategicMerge ? .merge : type, to: scale, kind: kind)
    }
  }

  private func changeScale(
    _ request: WriteRequest, _ completion: @escaping WriteCompletion,
    _ change: @escaping @Sendable (JSON) throws(KubeError) -> JSON
  ) {
    service.modify(
      request, completion: { result in completion(result.map(Self.scaleResult)) },
      { (current) throws(KubeError) in
        let scale = try change(Self.scale(of: current))
        let replicas = scale.at("spec", "replicas")?.int ?? 0
        guard replicas >= 0 else {
          throw .invalid(
            kind: GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale"), name: request.name,
            [
              FieldError(
                type: .invalid, path: "spec.replicas", value: .int(replicas),
                detail: "must be greater than or equal to 0")
            ])
        }
        var object = current
        object["spec"]?["replicas"] = .int(replicas)
        // The version that the client sent is checked against the object's.
        object["metadata"]?["resourceVersion"] = scale.at("metadata", "resourceVersion")
        return object
      })
  }

  private static func scaleResult(_ written: Written) -> Written {
    guard let object = try? JSON.parse(written.bytes) else { return written }
    let scale = scale(of: object)
    var result = written
    result.bytes = scale.serialized()
    result.header = ObjectHeader(scale)
    return result
  }

  /// The `autoscaling/v1 Scale` of a Deployment, ReplicaSet, StatefulSet or ReplicationController.
  static func scale(of object: JSON) -> JSON {
    let meta = object["metadata"]
    var metadata = JSONObject()
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] { metadata[key] = meta?[key] }
    var status: JSONObject = ["replicas": .int(object.at("status", "replicas")?.int ?? 0)]
    let selector = object.at("spec", "selector")
    let parsed: Selector? =
      selector?["matchLabels"] != nil || selector?["matchExpressions"] != nil
      ? try? Selector(labelSelector: selector)
      : try? Selector(
        matchLabels: Dictionary(
          (selector?.object?.members ?? []).compactMap { member in member.value.string.map { (member.key, $0) } },
          uniquingKeysWith: { $1 }))
    if let parsed { status["selector"] = .string(parsed.description) }
    return [
      "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": .object(metadata),
      "spec": ["replicas": .int(object.at("spec", "replicas")?.int ?? 0)], "status": .object(status),
    ]
  }
}
