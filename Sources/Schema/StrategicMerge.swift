public import Wire

extension KindSchema {
  /// Applies a strategic merge patch (`application/strategic-merge-patch+json`).
  ///
  /// Lists whose declaration says `merge` are merged by element; `$patch` (`replace`, `delete`, `merge`),
  /// `$retainKeys`, `$deleteFromPrimitiveList/F` and `$setElementOrder/F` are followed as apimachinery's
  /// `strategicpatch` does.
  ///
  /// - Returns: the patched object, which still has to be decoded, defaulted and validated.
  /// - Throws: a `FieldError` when the patch is malformed: a directive with a wrong value, or an element of a merged
  ///   list without its merge key.
  public func strategicMerge(_ patch: JSON, into object: JSON) throws(FieldError) -> JSON {
    guard case .object(let changes) = patch else {
      throw FieldError(type: .typeInvalid, path: "", value: .string(patch.typeName), detail: "a patch is an object")
    }
    let merged = try StrategicMerge(path: .root).merge(object.object ?? JSONObject(), changes, root)
    return .object(merged)
  }
}

private struct StrategicMerge {
  let path: FieldPath

  private static let elementsMax = 8192
  private static let directive = "$patch"
  private static let retainKeys = "$retainKeys"
  private static let deletePrefix = "$deleteFromPrimitiveList/"
  private static let orderPrefix = "$setElementOrder/"

  private func below(_ name: String) -> StrategicMerge { StrategicMerge(path: path[name]) }

  func merge(_ original: JSONObject, _ patch: JSONObject, _ structure: StructSchema?) throws(FieldError) -> JSONObject {
    var result = original
    if let directive = patch[Self.directive] {
      switch directive {
      case "replace":
        var replacement = patch
        replacement[Self.directive] = nil
        return try merge(JSONObject(), replacement, structure)
      case "delete": return JSONObject()
      case "merge": break
      default:
        throw .notSupported(path[Self.directive], directive, ["replace", "delete", "merge"])
      }
    }
    if let retained = patch[Self.retainKeys] {
      guard let keys = retained.array?.compactMap(\.string) else {
        throw .invalid(path[Self.retainKeys], retained, "must be a list of strings")
      }
      result.removeAll { !keys.contains($0.key) }
    }
    for member in patch.members {
      let key = member.key
      if key == Self.directive || key == Self.retainKeys { continue }
      if key.hasPrefix(Self.deletePrefix) {
        try delete(member.value, from: String(key.dropFirst(Self.deletePrefix.count)), in: &result)
        continue
      }
      if key.hasPrefix(Self.orderPrefix) { continue }
      if member.value.isNull {
        result[key] = nil
        continue
      }
      let order = try elementOrder(key, in: patch)
      result[key] = try below(key).merge(result[key], member.value, structure?.field(key), order: order)
    }
    // An order may be given for a list that the patch does not change otherwise.
    for member in patch.members where member.key.hasPrefix(Self.orderPrefix) {
      let key = String(member.key.dropFirst(Self.orderPrefix.count))
      guard patch[key] == nil, case .array(let elements)? = result[key], elements.count <= Self.elementsMax else {
        continue
      }
      let mergeKey = structure?.field(key)?.patch.mergeKey
      let order = try elementOrder(key, in: patch) ?? []
      result[key] = .array(sort(elements, by: order, serverOrder: elements, mergeKey))
    }
    return result
  }

  private func elementOrder(_ key: String, in patch: JSONObject) throws(FieldError) -> [JSON]? {
    guard let order = patch[Self.orderPrefix + key] else { return nil }
    guard let elements = order.array else {
      throw .invalid(path[Self.orderPrefix + key], order, "must be a list")
    }
    guard elements.count <= Self.elementsMax else {
      throw .tooMany(path[Self.orderPrefix + key], elements.count, Self.elementsMax)
    }
    return elements
  }

  private func delete(_ values: JSON, from key: String, in object: inout JSONObject) throws(FieldError) {
    guard let gone = values.array else {
      throw .invalid(path[Self.deletePrefix + key], values, "must be a list")
    }
    guard gone.count <= Self.elementsMax else {
      throw .tooMany(path[Self.deletePrefix + key], gone.count, Self.elementsMax)
    }
    guard case .array(let elements)? = object[key] else { return }
    object[key] = .array(elements.filter { !gone.contains($0) })
  }

  private func merge(
    _ original: JSON?, _ patch: JSON, _ field: FieldSchema?, order: [JSON]?
  ) throws(FieldError) -> JSON {
    if field?.patch.replaces == true { return patch }
    switch patch {
    case .object(let changes):
      // Merging into nothing removes nulls and directives from what is new.
      return .object(try merge(original?.object ?? JSONObject(), changes, elementStructure(field)))
    case .array(let changes):
      guard field?.patch.mergesElements == true else { return patch }
      return .array(try merge(list: original?.array ?? [], changes, field, order: order))
    default: return patch
    }
  }

  private func elementStructure(_ field: FieldSchema?) -> StructSchema? {
    switch field?.type {
    case .structure(let structure), .list(.structure(let structure)): structure
    default: nil
    }
  }

  private func merge(
    list original: [JSON], _ patch: [JSON], _ field: FieldSchema?, order: [JSON]?
  ) throws(FieldError) -> [JSON] {
    // Elements are found by search: without a bound, a patch of 3 MiB could keep a thread busy for minutes.
    guard original.count + patch.count + (order?.count ?? 0) <= Self.elementsMax else {
      throw .tooMany(path, original.count + patch.count, Self.elementsMax)
    }
    guard let mergeKey = field?.patch.mergeKey else {
      var result = original
      for element in patch where !result.contains(element) { result.append(element) }
      return sort(result, by: order ?? patch, serverOrder: original, nil)
    }
    let structure = elementStructure(field)
    var result = original
    // `$patch: replace` as an element replaces the whole list by the other elements.
    if patch.contains(where: { $0[Self.directive] == "replace" && $0[mergeKey] == nil }) {
      // As they are: what is there twice stays twice, such as a node's addresses of one type.
      return try replacement(patch.filter { $0[Self.directive] == nil }, mergeKey, structure)
    }
    for (index, element) in patch.enumerated() {
      let here = StrategicMerge(path: path[index])
      guard case .object(var changes) = element else {
        throw .invalid(here.path, element, "must be an object, since the list is merged by \"\(mergeKey)\"")
      }
      guard let key = changes[mergeKey] else {
        throw .required(here.path[mergeKey], "the list is merged by this field")
      }
      switch changes[Self.directive] {
      case "delete":
        result.removeAll { $0[mergeKey] == key }
        continue
      case "replace":
        changes[Self.directive] = nil
        let replacement = JSON.object(try here.merge(JSONObject(), changes, structure))
        if let at = result.firstIndex(where: { $0[mergeKey] == key }) {
          result[at] = replacement
        } else {
          result.append(replacement)
        }
        continue
      default: break
      }
      if let at = result.firstIndex(where: { $0[mergeKey] == key }) {
        result[at] = .object(try here.merge(result[at].object ?? JSONObject(), changes, structure))
      } else {
        result.append(.object(try here.merge(JSONObject(), changes, structure)))
      }
    }
    return sort(result, by: order ?? patch, serverOrder: original, mergeKey)
  }

  private func replacement(
    _ elements: [JSON], _ mergeKey: String, _ structure: StructSchema?
  ) throws(FieldError) -> [JSON] {
    var result: [JSON] = []
    for (index, element) in elements.enumerated() {
      let here = StrategicMerge(path: path[index])
      guard case .object(let changes) = element else {
        throw .invalid(here.path, element, "must be an object, since the list is merged by \"\(mergeKey)\"")
      }
      guard changes[mergeKey] != nil else {
        throw .required(here.path[mergeKey], "the list is merged by this field")
      }
      result.append(.object(try here.merge(JSONObject(), changes, structure)))
    }
    return result
  }

  /// Puts the elements that the patch ordered, or names at all when it gives no order, into the patch's order, and weaves
  /// the others in where the server had them.
  private func sort(_ elements: [JSON], by order: [JSON], serverOrder: [JSON], _ mergeKey: String?) -> [JSON] {
    func identity(_ element: JSON) -> String { (mergeKey.flatMap { element[$0] } ?? element).text }
    // Searching for each of them in turn would be quadratic, on an event loop.
    func places(_ list: [JSON]) -> [String: Int] {
      Dictionary(list.enumerated().map { (identity($1), $0) }, uniquingKeysWith: { first, _ in first })
    }
    let wanted = places(order)
    var ordered: [(rank: Int, element: JSON)] = []
    var others: [JSON] = []
    for element in elements {
      if let rank = wanted[identity(element)] {
        ordered.append((rank: rank, element: element))
      } else {
        others.append(element)
      }
    }
    let right = ordered.enumerated().sorted {
      ($0.element.rank, $0.offset) < ($1.element.rank, $1.offset)
    }.map(\.element.element)
    if others.isEmpty { return right }
    let server = places(serverOrder)
    var result: [JSON] = []
    result.reserveCapacity(elements.count)
    var (left, next) = (0, 0)
    while left < others.count || next < right.count {
      if left == others.count {
        result.append(right[next])
        next += 1
      } else if next == right.count {
        result.append(others[left])
        left += 1
      } else if let a = server[identity(others[left])], let b = server[identity(right[next])], a < b {
        result.append(others[left])
        left += 1
      } else {
        result.append(right[next])
        next += 1
      }
    }
    return result
  }
}
