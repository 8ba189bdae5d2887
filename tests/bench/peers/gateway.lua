-- What a user would write in nginx in place of a stage: parse, check, render, call, answer.
local cjson = require "cjson.safe"

ngx.req.read_body()
local given = cjson.decode(ngx.req.get_body_data())
local parameters = given and given.parameters
if not parameters or type(parameters.target) ~= "string" then
    ngx.status = 422
    ngx.say('{"title": "target is missing"}')
    return
end
local caller = given.caller or {}
local body = cjson.encode({
    target = parameters.target,
    users = parameters.users or 50,
    by = caller.user,
    of = caller.application,
    kind = "load",
})
ngx.req.set_header("Content-Type", "application/json")
local reply = ngx.location.capture("/upstream/fire", { method = ngx.HTTP_POST, body = body })
local said = cjson.decode(reply.body)
if reply.status ~= 200 or not said then
    ngx.status = 502
    ngx.say('{"title": "the upstream gave no answer"}')
    return
end
ngx.header["Content-Type"] = "application/json"
local answer = cjson.encode({ status = said.state == "done" and "SUCCEEDED" or "TERMINAL", outputs = { id = said.id } })
ngx.header["Content-Length"] = #answer
ngx.print(answer)
