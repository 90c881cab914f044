-- Creates objects of one kind with names of their own; wrk's -c is the number of writers.
-- Arguments: kind, token, prefix.
local kind, token, prefix
local thread, count = 0, 0

function setup(t)
  thread = thread + 1
  t:set("number", thread)
end

function init(args)
  kind, token, prefix = args[1], args[2], args[3]
end

local pod = [[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{"app":"bench","tier":"web"}},"spec":{"schedulerName":"none","containers":[{"name":"web","image":"localhost/web-app:1","env":[{"name":"A","value":"1"}],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}},"ports":[{"containerPort":8080}],"readinessProbe":{"httpGet":{"path":"/ready","port":8080}}}]}}]]
local map = [[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"key":"value","other":"another value of some length"}}]]

function request()
  count = count + 1
  local name = string.format("%s-%d-%d", prefix, number, count)
  local resource = kind == "pod" and "pods" or "configmaps"
  return wrk.format("POST", "/api/v1/namespaces/bench/" .. resource,
    {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. token},
    string.format(kind == "pod" and pod or map, name))
end

local refused = 0
function response(status)
  if status ~= 201 then refused = refused + 1 end
end
