import KubeTypes
import Wire

/// `status` of a condition.
public enum ConditionStatus: String, Sendable {
  case yes = "True"
  case no = "False"
  case unknown = "Unknown"
}

/// Changes to a list of conditions, in which each type occurs once.
public enum Conditions {
  public static func find(_ type: String, in conditions: [JSON]) -> JSON? {
    conditions.first { $0["type"]?.string == type }
  }

  /// Whether the condition is there and `True`.
  public static func isTrue(_ type: String, in conditions: [JSON]) -> Bool {
    find(type, in: conditions)?["status"]?.string == ConditionStatus.yes.rawValue
  }

  /// Sets a condition. `lastTransitionTime` changes only when the status does; other members (`observedGeneration`,
  /// `lastHeartbeatTime`) stay as they are.
  ///
  /// - Parameter updateTime: written as `lastUpdateTime` when anything changes; for the kinds that have it.
  /// - Returns: whether anything changed.
  @discardableResult
  public static func set(
    _ type: String, _ status: ConditionStatus, reason: String, message: String, now: Timestamp,
    updateTime: Timestamp? = nil, in conditions: inout [JSON]
  ) -> Bool {
    let index = conditions.firstIndex { $0["type"]?.string == type }
    var condition = index.map { conditions[$0] } ?? ["type": .string(type)]
    let isSameStatus = condition["status"]?.string == status.rawValue
    if isSameStatus, condition["reason"]?.string ?? "" == reason, condition["message"]?.string ?? "" == message {
      return false
    }
    condition["status"] = .string(status.rawValue)
    if let updateTime { condition["lastUpdateTime"] = .string(updateTime.rfc3339) }
    if !isSameStatus || condition["lastTransitionTime"]?.string == nil {
      condition["lastTransitionTime"] = .string(now.rfc3339)
    }
    condition["reason"] = reason.isEmpty ? nil : .string(reason)
    condition["message"] = message.isEmpty ? nil : .string(message)
    if let index { conditions[index] = condition } else { conditions.append(condition) }
    return true
  }

  /// Removes a condition; returns whether it was there.
  @discardableResult
  public static func remove(_ type: String, from conditions: inout [JSON]) -> Bool {
    let count = conditions.count
    conditions.removeAll { $0["type"]?.string == type }
    return conditions.count != count
  }

  /// `set` for typed views.
  @discardableResult
  public static func set<C: KubeValue>(
    _ type: String, _ status: ConditionStatus, reason: String, message: String, now: Timestamp,
    updateTime: Timestamp? = nil, in conditions: inout [C]
  ) -> Bool {
    var list = conditions.map(\.json)
    let isChanged = set(
      type, status, reason: reason, message: message, now: now, updateTime: updateTime, in: &list)
    if isChanged { conditions = list.map(C.init(json:)) }
    return isChanged
  }
}
